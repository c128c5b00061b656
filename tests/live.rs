//! Live input: RTP over a network that loses and delays packets, and what iotdec adds to
//! the time from camera to screen.

use gst::prelude::*;
use iotdec_tests::pipeline::{Playing, count};
use iotdec_tests::process::{self, Running, until};
use iotdec_tests::{environment, exclusive};
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);
/// Frames a second; so few where it is measured how long each takes, so that a machine with
/// much else to do can follow.
const RATE: u64 = 30;
const SLOW: u64 = 10;
/// Frames that are looked at then.
const SOME: usize = 30;
/// No frame for so long is a picture that stands still.
const STANDSTILL: Duration = Duration::from_secs(3);

/// What a camera sends: no key frame but the first, until one is asked for.
fn camera(port: i32, rate: u64, network: &str) -> Playing {
    let description = format!(
        "videotestsrc is-live=true pattern=smpte horizontal-speed=4 \
         ! video/x-raw,format=I420,width=320,height=240,framerate={rate}/1 \
         ! x264enc name=encoder tune=zerolatency sliced-threads=false bitrate=500 \
           key-int-max=100000 \
         ! video/x-h264,profile=high ! rtph264pay config-interval=-1 ! {network} \
         udpsink host=127.0.0.1 port={port} sync=false"
    );
    Playing::start(&description, LIMIT)
}

/// Who receives it, ready to play: the pipeline and its port.
fn receiver() -> (Playing, i32) {
    let playing = Playing::prepare(
        "udpsrc name=source address=127.0.0.1 port=0 \
           caps=application/x-rtp,media=video,clock-rate=90000,encoding-name=H264 \
         ! rtpjitterbuffer name=buffer latency=100 do-lost=true ! rtph264depay ! h264parse \
         ! iotdec_openh264 name=decoder automatic-request-sync-points=true \
         ! queue ! fakesink name=sink sync=true",
        LIMIT,
    );
    let ready = playing.pipeline().set_state(gst::State::Ready);
    ready.expect("a port is free");
    let port = playing.element("source").property("port");
    (playing, port)
}

/// The time from a packet's arrival at the decoder to its picture's departure.
#[derive(Clone, Debug, Default)]
struct Latencies(Arc<Mutex<Measuring>>);

#[derive(Debug, Default)]
struct Measuring {
    arrived: HashMap<gst::ClockTime, Instant>,
    newest: Option<gst::ClockTime>,
    taken: Vec<Duration>,
    /// Whether pictures left before the next packet came.
    at_once: Vec<bool>,
    last: Option<Instant>,
    longest_gap: Duration,
    damaged: bool,
    recoveries: usize,
}

impl Latencies {
    fn of(decoder: &gst::Element) -> Self {
        let latencies = Self::default();
        let measuring = latencies.0.clone();
        probe(decoder, "sink", move |pts, _| {
            let mut measuring = measuring.lock().expect("never poisoned");
            measuring.arrived.insert(pts, Instant::now());
            measuring.newest = Some(pts);
        });
        let measuring = latencies.0.clone();
        probe(decoder, "src", move |pts, damaged| {
            let now = Instant::now();
            let mut measuring = measuring.lock().expect("never poisoned");
            let arrived = measuring.arrived.remove(&pts);
            measuring.taken.extend(arrived.map(|then| now - then));
            let is_newest = measuring.newest == Some(pts);
            measuring.at_once.push(is_newest);
            let gap = measuring.last.replace(now).map(|last| now - last);
            measuring.longest_gap = measuring.longest_gap.max(gap.unwrap_or_default());
            measuring.recoveries += usize::from(measuring.damaged && !damaged);
            measuring.damaged = damaged;
        });
        latencies
    }

    fn frames(&self) -> usize {
        self.0.lock().expect("never poisoned").taken.len()
    }

    fn median(&self) -> Duration {
        let mut taken = self.0.lock().expect("never poisoned").taken.clone();
        taken.sort_unstable();
        taken[taken.len() / 2]
    }

    /// Of the last [`SOME`] pictures, how many waited for no later packet.
    fn at_once(&self) -> usize {
        let measuring = self.0.lock().expect("never poisoned");
        let last = measuring.at_once.iter().rev().take(SOME);
        last.filter(|at_once| **at_once).count()
    }

    /// How often a whole frame followed a damaged one.
    fn recoveries(&self) -> usize {
        self.0.lock().expect("never poisoned").recoveries
    }

    fn longest_gap(&self) -> Duration {
        self.0.lock().expect("never poisoned").longest_gap
    }
}

/// Calls `seen` with the time stamp of each buffer, and whether it is damaged.
fn probe(
    element: &gst::Element,
    pad: &str,
    seen: impl Fn(gst::ClockTime, bool) + Send + Sync + 'static,
) {
    let pad = element.static_pad(pad).expect("decoders have both");
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(buffer) = info.buffer()
            && let Some(pts) = buffer.pts()
        {
            seen(pts, buffer.flags().contains(gst::BufferFlags::CORRUPTED));
        }
        gst::PadProbeReturn::Ok
    });
}

/// The least latency that is reported downstream of a pad.
fn reported(pad: &gst::Pad) -> (bool, gst::ClockTime) {
    let mut query = gst::query::Latency::new();
    assert!(pad.query(&mut query), "no answer to the latency query");
    let (live, min, _) = query.result();
    (live, min)
}

/// As fast as it decodes: nothing waits for a later frame, though the stream may reorder
/// its frames as far as its headers say.
#[test]
fn a_live_frame_is_out_as_soon_as_it_is_decoded() {
    let _turn = exclusive();
    let (receiver, port) = receiver();
    let decoder = receiver.element("decoder");
    let latencies = Latencies::of(&decoder);
    receiver.play();
    let camera = camera(port, SLOW, "");
    // A decoder that waits for later frames gives out none before the next packet comes,
    // however fast it is. Where much else runs it may be late for another reason, but not
    // for ever.
    let at_once = until(LIMIT, || {
        let at_once = latencies.at_once();
        (latencies.frames() > 2 * SOME && at_once > SOME * 3 / 4).then_some(at_once)
    });

    let before = decoder.static_pad("sink").and_then(|pad| pad.peer());
    let (live, before) = reported(&before.expect("it is linked"));
    let (_, behind) = reported(&decoder.static_pad("src").expect("decoders have one"));
    assert!(live, "a live source");
    let added = behind - before;
    let stats = receiver.stats();
    camera.stop();
    let end = receiver.stop();
    assert!(end.errors.is_empty(), "{:?}", end.errors);

    let decode = Duration::from_micros(stats.get::<u32>("decode-us-p50").expect("a time").into());
    let (median, frames) = (latencies.median(), latencies.frames());
    let told = format!(
        "{median:?} from packet to picture, of which decoding takes {decode:?}; {at_once:?} of \
         {SOME} before the next packet, {frames} in all; reported {added}"
    );
    println!("{told}");
    assert!(at_once.is_some(), "{told}");
    let frame = gst::ClockTime::SECOND / SLOW;
    assert_eq!(added.mseconds(), frame.mseconds(), "one frame is reported");
}

/// Relays the decoder's wish for a key frame to the camera, as RTCP does.
fn relay_key_unit_requests(receiver: &Playing, camera: &Playing) -> Arc<Mutex<usize>> {
    let requests = Arc::new(Mutex::new(0));
    let source = receiver.element("source").static_pad("src");
    let encoder = camera.element("encoder").downgrade();
    let counted = requests.clone();
    let relay = move |_: &gst::Pad, info: &mut gst::PadProbeInfo<'_>| {
        let event = info.event().filter(|event| {
            let structure = event.structure();
            structure.is_some_and(|structure| structure.name() == "GstForceKeyUnit")
        });
        if let (Some(event), Some(encoder)) = (event, encoder.upgrade()) {
            *counted.lock().expect("never poisoned") += 1;
            encoder.send_event(event.to_owned());
        }
        gst::PadProbeReturn::Ok
    };
    let source = source.expect("sources have one");
    source.add_probe(gst::PadProbeType::EVENT_UPSTREAM, relay);
    requests
}

/// 2 % of the packets are lost and others come late and in disorder. Without a key frame
/// the damage would stay: the decoder asks for one, and the camera sends it.
#[test]
fn a_lossy_network_does_not_stop_it() {
    let _turn = exclusive();
    let (receiver, port) = receiver();
    let latencies = Latencies::of(&receiver.element("decoder"));
    receiver.play();
    let camera = camera(
        port,
        RATE,
        "netsim drop-probability=0.02 delay-probability=0.2 min-delay=1 max-delay=30 !",
    );
    let requests = relay_key_unit_requests(&receiver, &camera);
    let buffer = receiver.element("buffer");
    let lost = || {
        let stats: gst::Structure = buffer.property("stats");
        stats.get::<u64>("num-lost").expect("a count")
    };
    let enough = until(LIMIT, || {
        (lost() >= 8 && latencies.recoveries() >= 2 && latencies.frames() >= 150).then_some(())
    });
    let told = format!(
        "{} packets lost, {} frames, {} key frames asked for, {} recoveries, longest gap {:?}",
        lost(),
        latencies.frames(),
        requests.lock().expect("never poisoned"),
        latencies.recoveries(),
        latencies.longest_gap()
    );
    println!("{told}");
    let stats = receiver.stats();
    camera.stop();
    let end = receiver.stop();
    assert!(end.errors.is_empty(), "{:?}", end.errors);
    assert!(enough.is_some(), "{told}; {stats}");
    assert!(latencies.longest_gap() < STANDSTILL, "{told}");
    assert_eq!(count(&stats, "worker-restarts"), 0, "{stats}");
}

/// An IP camera, as a user names it.
#[test]
fn a_camera_is_played_by_its_url() {
    let _turn = exclusive();
    let mut server = Command::new("timeout")
        // Debian's: it has the packages.
        .args(["--kill-after=5", "60", "/usr/bin/python3"])
        .arg(environment::root().join("tests/camera.py"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("coreutils are installed");
    let output = server.stdout.take().expect("piped");
    let server = Running::new(server);
    let mut url = String::new();
    let read = BufReader::new(output).read_line(&mut url);
    assert!(
        read.is_ok_and(|bytes| bytes > 0),
        "no server; is gir1.2-gst-rtsp-server-1.0 installed?"
    );
    let description = format!(
        "rtspsrc location={} latency=100 ! iotdec name=decoder ! fakesink sync=true",
        url.trim()
    );
    let playing = Playing::start(&description, LIMIT);
    let decoder = playing.element("decoder");
    let stats = || decoder.property::<Option<gst::Structure>>("stats");
    let played = until(LIMIT, || {
        stats().filter(|stats| count(stats, "frames-out") >= 60)
    });
    let latest = stats();
    let end = playing.stop();
    assert!(end.errors.is_empty(), "{:?}", end.errors);
    let played = played.unwrap_or_else(|| panic!("{latest:?}"));
    assert_eq!(count(&played, "frames-corrupt"), 0, "{played}");
    drop(server);
    process::assert_no_children();
}
