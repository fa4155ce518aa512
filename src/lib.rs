//! Sends email campaigns from PostgreSQL through Amazon SES.

#[cfg(feature = "local")]
pub mod local;
