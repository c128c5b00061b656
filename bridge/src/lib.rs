//! Host side of iotdec.
