//! The examples, as documentation; see the files beside this one.
//!
//! * `bridge.rs` decodes without GStreamer, with the bridge alone.
//! * `library-bridge/call.rs` calls a function of any library for aarch64.
//! * `thumbnail.rs` makes a PNG of any video, with the element `iotdec`.
//! * `appsink.py` looks at each frame in Python.
