//! libiotdec.so: the C interface of the library bridge. `include/` tells what each function
//! does; here is only how C reaches [`iotdec_bridge::calls`].
//!
//! Calls may be left by longjmp or an exception from a callback, so nothing on their way
//! has anything to drop.

mod memory;
mod program;
mod wrapper;
