//! Frames in the memory that downstream wants, and enough of it.
