//! What is decided, and by which rules: pure functions and the values that they take and return. No clock is read here,
//! and nothing is asked of a network.

pub mod address;
pub mod answer;
pub mod batch;
pub mod campaign;
pub mod deadline;
pub mod doubt;
pub mod event;
pub mod guard;
pub mod ledger;
pub mod mailbox;
pub mod outcome;
pub mod pace;
pub mod personal;
pub mod recipient;
pub mod result;
pub mod send_api;
pub mod setting;
pub mod stop;
pub mod trouble;
pub mod verdict;
