//! GStreamer elements of iotdec.
