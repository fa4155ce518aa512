//! Stand-ins for AWS on this machine, for development and tests; the functions are built without them.

pub mod function_url;
pub mod lambda;
pub mod ses;
