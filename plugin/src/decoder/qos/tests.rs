use super::*;

fn ms(time: i64) -> Option<gst::ClockTime> {
    Some(gst::ClockTime::from_mseconds(time as u64))
}

/// A frame that is judged at 1 s.
fn candidate(due: i64, takes: u64, is_key: bool) -> Candidate {
    Candidate {
        now: ms(1000),
        due: ms(due),
        takes: Duration::from_millis(takes),
        spared: None,
        is_key,
        segment: gst::SegmentFlags::empty(),
        rate: 1.0,
    }
}

/// At 1 s the sink got a frame 50 ms too late.
fn late() -> Qos {
    let mut qos = Qos::default();
    qos.note(ms(950), 50_000_000, ms(1000));
    qos
}

#[test]
fn nothing_is_skipped_unless_a_sink_waits() {
    let mut qos = Qos::default();
    assert_eq!(qos.judge(candidate(0, 5000, false)), Verdict::Decode);
    let mut qos = late();
    qos.pause();
    assert_eq!(qos.judge(candidate(0, 5000, false)), Verdict::Decode);
}

/// A frame that is `slack` early, where leaving out unreferenced ones takes 30 ms a
/// frame.
fn spared(due: i64, slack: i64, is_key: bool) -> Candidate {
    Candidate {
        spared: Some(Duration::from_millis(30)),
        ..candidate(due, (due - slack - 1000) as u64, is_key)
    }
}

/// A frame every 40 ms, a key frame every 960 ms, the last one at 2 s.
fn playing() -> Qos {
    let mut qos = late();
    for due in (1040..=2000).step_by(40) {
        let is_key = due == 1040 || due == 2000;
        let frame = spared(due, 1, is_key);
        assert_eq!(qos.judge(frame), Verdict::Decode);
    }
    qos
}

#[test]
fn late_frames_may_be_skipped_if_that_helps_before_the_next_key_frame() {
    let mut qos = playing();
    assert_eq!(qos.judge(spared(2040, -1, false)), Verdict::MaySkip);
    assert!(qos.is_late());
    assert_eq!(qos.judge(spared(2080, 0, false)), Verdict::Decode);
    assert!(!qos.is_late());
    // 10 ms a frame, 21 frames.
    assert_eq!(qos.judge(spared(2120, -200, false)), Verdict::MaySkip);
    assert_eq!(qos.judge(spared(2160, -220, false)), Verdict::Skip);
    for due in (2200..2960).step_by(40) {
        let in_time = spared(due, 50, false);
        let verdict = qos.judge(in_time);
        assert_eq!(verdict, Verdict::Skip, "what it needs is missing");
    }
    assert_eq!(qos.judge(spared(2960, -300, true)), Verdict::Skip);
    assert_eq!(qos.judge(spared(3000, 50, false)), Verdict::Skip);
    assert_eq!(qos.judge(spared(3080, 1, true)), Verdict::Resume);
    assert_eq!(qos.judge(spared(3120, 1, false)), Verdict::Decode);
}

#[test]
fn where_that_never_helps_it_is_done_all_the_time() {
    let mut qos = playing();
    let slow = |due, slack, is_key| Candidate {
        spared: Some(Duration::from_millis(50)),
        ..spared(due, slack, is_key)
    };
    assert_eq!(qos.judge(slow(2040, 100, false)), Verdict::MaySkip);
    assert!(!qos.is_late());
    assert_eq!(qos.judge(slow(2080, -1, false)), Verdict::Skip);
    for due in (2120..2960).step_by(40) {
        assert_eq!(qos.judge(slow(due, 50, false)), Verdict::Skip);
    }
    assert_eq!(qos.judge(slow(2960, -1, true)), Verdict::Skip);
    // Something is seen every second.
    assert_eq!(qos.judge(slow(3080, -500, true)), Verdict::Resume);
}

#[test]
fn a_long_gap_is_thought_over() {
    let mut qos = playing();
    qos.spacing.keys = Some(10_000_000_000);
    assert_eq!(qos.judge(spared(2040, -5000, false)), Verdict::MaySkip);
    assert_eq!(qos.judge(spared(2240, -5000, false)), Verdict::MaySkip);
    assert_eq!(qos.judge(spared(2320, -5000, false)), Verdict::Skip);
}

#[test]
fn no_time_is_too_late_to_be_computed() {
    let mut qos = playing();
    let mut frame = candidate(0, u64::from(u32::MAX) * 16 / 1000, false);
    for time in [gst::ClockTime::MAX, gst::ClockTime::ZERO] {
        for late in [i64::MIN, i64::MAX] {
            qos.note(Some(time), late, Some(time));
            for due in [gst::ClockTime::MAX, gst::ClockTime::ZERO] {
                (frame.due, frame.now) = (Some(due), Some(time));
                qos.judge(frame);
                qos.note(Some(due), late, Some(gst::ClockTime::ZERO));
            }
        }
    }
}

#[test]
fn a_sink_that_waits_for_the_latency_has_time() {
    let mut qos = Qos::default();
    qos.note(ms(700), -100_000_000, ms(1000));
    assert_eq!(qos.judge(candidate(800, 99, false)), Verdict::Decode);
    assert_eq!(qos.judge(candidate(800, 101, false)), Verdict::MaySkip);
}

#[test]
fn what_frames_were_later_than_expected_is_expected() {
    let mut qos = late();
    for due in [1040, 1080, 1120, 1160] {
        assert_eq!(qos.judge(candidate(due, 20, false)), Verdict::Decode);
    }
    for due in [1040, 1080, 1120, 1160] {
        // Expected at 1020.
        qos.note(ms(due), (1120 - due) * 1_000_000, ms(1120.max(due)));
    }
    let mut frame = candidate(1240, 20, false);
    frame.now = ms(1119);
    assert_eq!(qos.judge(frame), Verdict::Decode);
    frame.now = ms(1121);
    assert_eq!(
        qos.judge(frame),
        Verdict::MaySkip,
        "100 ms later than computed"
    );
    frame.due = ms(9000);
    frame.now = ms(8975);
    assert_eq!(qos.judge(frame), Verdict::Decode, "that is long ago");
}

#[test]
fn trick_modes_are_obeyed() {
    let mut qos = Qos::default();
    let mut frame = candidate(0, 0, false);
    frame.segment = gst::SegmentFlags::TRICKMODE_KEY_UNITS;
    assert_eq!(qos.judge(frame), Verdict::Skip);
    frame.is_key = true;
    assert_eq!(qos.judge(frame), Verdict::Resume);
    frame.is_key = false;
    frame.segment = gst::SegmentFlags::TRICKMODE_FORWARD_PREDICTED;
    assert_eq!(qos.judge(frame), Verdict::MaySkip);
}

#[test]
fn skipping_is_told_from_hidden_pictures() {
    let mut qos = Qos::default();
    qos.allow_skipping(7);
    assert!(!qos.was_skipped(6));
    assert!(qos.was_skipped(7));
    assert!(!qos.was_skipped(7));
}
