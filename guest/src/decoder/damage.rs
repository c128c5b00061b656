//! Which pictures are damaged, for libraries that don't say it of each picture.

use std::collections::VecDeque;

/// Follows damage from the packet it was noticed in to the pictures that build on
/// it: all later ones, until one that needs no other is decoded without complaint.
///
/// That errs in both directions. Pictures that refer to none of the damaged ones
/// are marked too; those after an open random access point that refer across it
/// are not.
#[derive(Debug, Default)]
pub struct Damage {
    spreads: bool,
    /// Packets whose pictures are still to come, and whether they are damaged.
    packets: VecDeque<(u64, bool)>,
}

impl Damage {
    /// More packets than any decoder holds pictures of.
    const MOST: usize = 256;

    /// A picture begins; `alone` if it needs no other.
    pub fn begin(&mut self, packet: u64, alone: bool) {
        self.spreads &= !alone;
        self.packets.push_back((packet, self.spreads));
        if self.packets.len() > Self::MOST {
            self.packets.pop_front();
        }
    }

    /// The decoder complained about a packet.
    pub fn notice(&mut self, packet: u64) {
        self.spreads = true;
        for (_, damaged) in self.packets.iter_mut().filter(|(of, _)| *of == packet) {
            *damaged = true;
        }
    }

    /// Whether the picture of this packet, which is given out now, is damaged. One that
    /// belongs to no packet, or to one that had its picture, was made up of others.
    pub fn is_damaged(&mut self, packet: u64) -> bool {
        let found = self.packets.iter().position(|(of, _)| *of == packet);
        let found = found.and_then(|at| self.packets.remove(at));
        found.map_or(self.spreads, |(_, damaged)| damaged)
    }

    /// Nothing that was decoded matters any more.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::Damage;

    #[test]
    fn damage_spreads_until_a_picture_that_stands_alone() {
        let mut damage = Damage::default();
        damage.begin(0, true);
        damage.begin(1, false);
        damage.notice(1);
        damage.begin(2, false);
        damage.begin(3, true);
        damage.begin(4, false);
        let marked = [0, 2, 1, 3, 4].map(|packet| damage.is_damaged(packet));
        assert_eq!(marked, [false, true, true, false, false]);
    }

    #[test]
    fn a_picture_may_be_damaged_although_it_stands_alone() {
        let mut damage = Damage::default();
        damage.begin(0, true);
        damage.notice(0);
        damage.notice(0);
        assert!(damage.is_damaged(0));
        damage.begin(1, false);
        assert!(damage.is_damaged(1));
        damage.clear();
        damage.begin(2, false);
        assert!(!damage.is_damaged(2));
        assert!(!damage.is_damaged(2), "of a packet with two pictures");
        damage.notice(3);
        assert!(damage.is_damaged(2), "shown instead of another");
    }
}
