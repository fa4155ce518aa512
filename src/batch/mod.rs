//! The steps of a batch, in the order in which [`crate::handler`] takes them.
//!
//! The steps do not call each other: each takes what it needs and returns what it found.

pub mod address;
pub mod checkpoint;
pub mod claim;
pub mod complete;
pub mod doubt;
pub mod load;
pub mod pay;
pub mod record;
pub mod refused;
pub mod render;
pub mod send;
