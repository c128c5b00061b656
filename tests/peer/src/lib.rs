//! What the two sides of the ring test share: the records, which each side
//! computes for itself, and the control block they travel through.

pub mod block;
pub mod records;
