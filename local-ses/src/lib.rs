//! Stand-ins for AWS on this machine, for development and tests. The functions are built without them.
#![allow(missing_docs, reason = "the names are AWS's own")]

pub mod function_url;
pub mod lambda;
pub mod ses;
