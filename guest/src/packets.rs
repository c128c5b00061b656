//! Packets out of ring records: in one piece where they lie, or put together.

use iotdec_wire::msg::PacketHead;

/// Collects the parts of packets that are longer than a record.
#[derive(Debug, Default)]
pub struct Assembler {
    /// Reused from packet to packet.
    buffer: Vec<u8>,
    /// The packet whose parts are in `buffer`.
    open: Option<PacketHead>,
}

/// A record that is not the next part of any packet.
#[derive(Debug, PartialEq, Eq)]
pub struct BadPart(pub &'static str);

impl Assembler {
    /// Takes one record's payload: the packet if it is complete with it. A packet
    /// in one part is the record itself, not a copy.
    pub fn add<'a>(
        &'a mut self,
        payload: &'a [u8],
    ) -> Result<Option<(PacketHead, &'a [u8])>, BadPart> {
        const HEAD: usize = size_of::<PacketHead>();
        let (head, data) = payload
            .split_at_checked(HEAD)
            .ok_or(BadPart("packet record without a head"))?;
        let head: PacketHead = bytemuck::pod_read_unaligned(head);
        let end = head.offset as usize + data.len();
        if end > head.total as usize {
            return Err(BadPart("packet part beyond the packet's end"));
        }
        if head.offset == 0 {
            self.open = None;
            if end == head.total as usize {
                return Ok(Some((head, data)));
            }
            self.buffer.clear();
            self.buffer.reserve(head.total as usize);
            self.open = Some(head);
        }
        let open = self
            .open
            .filter(|open| open.number == head.number && open.total == head.total)
            .filter(|_| self.buffer.len() == head.offset as usize)
            .ok_or(BadPart("packet part out of sequence"))?;
        self.buffer.extend_from_slice(data);
        if end < open.total as usize {
            return Ok(None);
        }
        self.open = None;
        Ok(Some((open, &self.buffer)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(number: u64, total: usize, offset: usize, data: &[u8]) -> Vec<u8> {
        let head = PacketHead {
            number,
            epoch: 0,
            flags: 0,
            total: total as u32,
            offset: offset as u32,
        };
        [bytemuck::bytes_of(&head), data].concat()
    }

    #[test]
    fn a_packet_in_one_part_is_not_copied() {
        let mut assembler = Assembler::default();
        let record = part(7, 3, 0, b"abc");
        let (head, data) = assembler.add(&record).unwrap().unwrap();
        assert_eq!((head.number, data), (7, &b"abc"[..]));
        assert!(record.as_ptr_range().contains(&data.as_ptr()));
    }

    #[test]
    fn parts_are_put_together() {
        let mut assembler = Assembler::default();
        assert_eq!(assembler.add(&part(1, 5, 0, b"ab")), Ok(None));
        assert_eq!(assembler.add(&part(1, 5, 2, b"cd")), Ok(None));
        let last = part(1, 5, 4, b"e");
        assert_eq!(assembler.add(&last).unwrap().unwrap().1, b"abcde");
    }

    #[test]
    fn a_flush_between_parts_begins_anew() {
        let mut assembler = Assembler::default();
        assert_eq!(assembler.add(&part(1, 5, 0, b"ab")), Ok(None));
        assert_eq!(assembler.add(&part(2, 4, 0, b"wx")), Ok(None));
        let last = part(2, 4, 2, b"yz");
        assert_eq!(assembler.add(&last).unwrap().unwrap().1, b"wxyz");
    }

    #[test]
    fn strays_are_refused() {
        let mut assembler = Assembler::default();
        assert!(assembler.add(b"short").is_err());
        assert!(assembler.add(&part(1, 5, 2, b"cd")).is_err());
        assert!(assembler.add(&part(1, 2, 0, b"abc")).is_err());
        assert_eq!(assembler.add(&part(1, 5, 0, b"ab")), Ok(None));
        assert!(assembler.add(&part(1, 5, 3, b"d")).is_err());
        assert!(assembler.add(&part(9, 5, 2, b"c")).is_err());
    }

    #[test]
    fn an_empty_packet_is_complete() {
        let mut assembler = Assembler::default();
        assert_eq!(assembler.add(&part(1, 0, 0, b"")).unwrap().unwrap().1, b"");
    }
}
