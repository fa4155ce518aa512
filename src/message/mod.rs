//! From a recipient to a message, and what can be known of it before it is sent: pure functions.

pub mod compose;
pub mod headers;
pub mod html;
pub mod link;
pub mod link_settings;
pub mod part;
pub mod preflight;
pub mod render;
pub mod token;
