//! How often the pixels of a frame are written again on their way to a screen, by
//! GStreamer's own account.
//!
//! Its category GST_PERFORMANCE tells of each copy of a video frame
//! (`gst_video_frame_copy_plane`), of a memory (`memcpy`) and of each conversion
//! (`gst_video_convert_scale_transform_frame`); sinks tell in their own what they do
//! with a file descriptor or a texture. Seen in 1.22.

use crate::process;
use gst::prelude::*;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, Once};

/// The categories that tell, for GST_DEBUG.
pub const CATEGORIES: &str = "GST_PERFORMANCE:5,glupload:6,wlshm:5,waylandsink:6";

/// A `memcpy` of so many bytes is a picture's; smaller ones are bitstreams' headers.
const PICTURE: usize = 60_000;

/// Counts of what the log told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copies {
    /// Written again as they are.
    pub copies: usize,
    /// Written again in another format or size.
    pub conversions: usize,
    /// Handed to OpenGL as they lie.
    pub uploads: usize,
    /// Handed to a Wayland compositor where they lie, by file descriptor.
    pub imports: usize,
}

impl Copies {
    /// Counts one message.
    pub fn note(&mut self, category: &str, message: &str) {
        match category {
            "GST_PERFORMANCE" if message.starts_with("copy plane 0") => self.copies += 1,
            "GST_PERFORMANCE" if message.starts_with("doing video scaling") => {
                self.conversions += 1;
            }
            "GST_PERFORMANCE" if message.starts_with("memcpy ") => {
                let bytes = message.split(' ').nth(1).and_then(|n| n.parse().ok());
                self.copies += usize::from(bytes > Some(PICTURE));
            }
            "glupload" if message.starts_with("uploader Raw Data returned") => self.uploads += 1,
            "wlshm" if message.contains(", format I420") => self.imports += 1,
            "waylandsink" if message.contains(" has a wl_buffer from our display") => {
                self.imports += 1;
            }
            _ => {}
        }
    }

    /// Counts the messages of a file that GST_DEBUG_FILE named.
    pub fn of_log(text: &str) -> Self {
        let mut counted = Self::default();
        for line in text.lines() {
            // time process thread level category file:line:function:object message
            let mut words = line.split_whitespace().skip(4);
            let category = words.next().unwrap_or_default();
            let rest = words.next().and_then(|place| line.split_once(place));
            counted.note(
                category,
                rest.map_or("", |(_, message)| message.trim_start()),
            );
        }
        counted
    }

    /// What is done to each of so many frames, in words. The frame that a sink waits
    /// with is shown a second time when it goes on.
    pub fn per_frame(&self, frames: usize) -> String {
        let each = |count: usize| {
            let times = (count + frames / 2) / frames;
            assert!(
                count.abs_diff(times * frames) <= 1,
                "{self:?} of {frames} frames: some are treated otherwise"
            );
            times
        };
        in_words(
            each(self.copies),
            each(self.conversions),
            each(self.uploads),
        )
    }
}

/// What a program did to each frame by the log of it, in words: each element that
/// converts or uploads does that once. Unlike counts this is true too of a program that
/// leaves out frames that are late.
pub fn per_frame_of_log(log: &str) -> String {
    let (mut converting, mut uploading) = (BTreeSet::new(), BTreeSet::new());
    for line in log.lines() {
        let counted = Copies::of_log(line);
        assert_eq!(
            counted.copies, 0,
            "which element copies is not told: {line}"
        );
        let element = line.split(['<', '>']).nth(1).unwrap_or_default();
        if counted.conversions > 0 {
            converting.insert(element);
        }
        if counted.uploads > 0 {
            uploading.insert(element);
        }
    }
    in_words(0, converting.len(), uploading.len())
}

fn in_words(copies: usize, conversions: usize, uploads: usize) -> String {
    let parts = [
        (copies, "copy", "copies"),
        (conversions, "conversion", "conversions"),
        (uploads, "upload", "uploads"),
    ];
    let told = parts.into_iter().filter(|(times, ..)| *times > 0);
    let told = told.map(|(times, one, more)| match times {
        1 => format!("1 {one}"),
        _ => format!("{times} {more}"),
    });
    let told: Vec<_> = told.collect();
    match told.is_empty() {
        true => "0".to_owned(),
        false => told.join(", "),
    }
}

/// What this process was told since the last [`restart`].
static COUNTED: Mutex<Copies> = Mutex::new(Copies {
    copies: 0,
    conversions: 0,
    uploads: 0,
    imports: 0,
});

fn counted() -> MutexGuard<'static, Copies> {
    COUNTED.lock().unwrap_or_else(|failed| failed.into_inner())
}

/// Counts in this process, from 0.
pub fn restart() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gst::log::remove_default_log_function();
        gst::log::add_log_function(|category, level, file, function, line, object, message| {
            if level <= gst::DebugLevel::Warning {
                gst::log::log_default(category, level, file, function, line, object, message);
                return;
            }
            if let Some(text) = message.get() {
                counted().note(category.name(), &text);
            }
        });
        gst::log::set_threshold_from_string(CATEGORIES, false);
    });
    *counted() = Copies::default();
}

/// What was counted so far.
pub fn so_far() -> Copies {
    *counted()
}

/// Frames that came to a pad, and how many of them in the memory that the guest wrote.
#[derive(Debug, Default)]
pub struct Arrivals {
    seen: std::sync::Arc<Mutex<(usize, usize)>>,
}

impl Arrivals {
    /// Counts at an element's sink pad.
    pub fn at(element: &gst::Element) -> Self {
        let arrivals = Self::default();
        let seen = arrivals.seen.clone();
        let pad = element.static_pad("sink").expect("a sink has one");
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let Some(buffer) = info.buffer() {
                let mut seen = seen.lock().expect("never poisoned");
                seen.0 += 1;
                seen.1 += usize::from(is_slot(buffer));
            }
            gst::PadProbeReturn::Ok
        });
        arrivals
    }

    /// All of them.
    pub fn frames(&self) -> usize {
        self.seen.lock().expect("never poisoned").0
    }

    /// Those in the memory that the guest wrote.
    pub fn in_slots(&self) -> usize {
        self.seen.lock().expect("never poisoned").1
    }
}

/// Whether a buffer's memory is a file that a worker has mapped, a slot's.
fn is_slot(buffer: &gst::BufferRef) -> bool {
    let [memory] = &buffer.iter_memories().collect::<Vec<_>>()[..] else {
        return false;
    };
    let Some(memory) = memory.downcast_memory_ref::<gst_allocators::FdMemory>() else {
        return false;
    };
    let file = std::fs::metadata(format!("/proc/self/fd/{}", memory.fd()));
    let inode = file.map(|file| std::os::unix::fs::MetadataExt::ino(&file));
    let workers = process::workers();
    let mut mapped = workers
        .iter()
        .flat_map(|pid| process::mapped_memfds(*pid, ""));
    inode.is_ok_and(|inode| mapped.any(|other| other == inode))
}

#[cfg(test)]
mod tests {
    use super::{Copies, per_frame_of_log};

    #[test]
    fn a_log_is_read_like_messages() {
        let log = "\
0:00:00.714  7777 0x7f2c840a3ea0 DEBUG  GST_PERFORMANCE video-frame.c:384:gst_video_frame_copy_plane: copy plane 0, w:640 h:356
0:00:00.714  7777 0x7f2c840a3ea0 DEBUG  GST_PERFORMANCE video-frame.c:384:gst_video_frame_copy_plane: copy plane 1, w:320 h:178
0:00:00.715  7777 0x7f2c840a3ea0 DEBUG  GST_PERFORMANCE gstvideoconvertscale.c:1764:gst_video_convert_scale_transform_frame:<videoconvert0> doing video scaling
0:00:00.716  7777 0x7f2c840a3ea0 DEBUG  GST_PERFORMANCE gstbuffer.c:289:_actual_merged_memory: memcpy 6 bytes for merge 0x1 from memory 0x2
";
        let counted = Copies::of_log(log);
        assert_eq!((counted.copies, counted.conversions), (1, 1));
        assert_eq!(counted.per_frame(1), "1 copy, 1 conversion");
        assert_eq!(Copies::default().per_frame(100), "0");
    }

    #[test]
    fn each_element_of_a_program_counts_once() {
        let line = "\
0:00:00.715  7777 0x7f2c840a3ea0 DEBUG  GST_PERFORMANCE gstvideoconvertscale.c:1764:gst_video_convert_scale_transform_frame:<NAME> doing video scaling
";
        let log = ["conv", "scale", "conv"].map(|name| line.replace("NAME", name));
        assert_eq!(per_frame_of_log(&log.concat()), "2 conversions");
    }

    #[test]
    #[should_panic(expected = "treated otherwise")]
    fn frames_are_treated_alike_or_not_counted() {
        let counted = Copies {
            copies: 5,
            ..Copies::default()
        };
        counted.per_frame(10);
    }
}
