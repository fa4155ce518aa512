//! The rules by which things are decided: pure functions and the values that they take and return. Nothing
//! here reads a clock or uses a network.

pub mod address;
pub mod answer;
pub mod batch;
pub mod campaign;
pub mod cause;
pub mod deadline;
pub mod error_kind;
pub mod event;
pub mod guard;
pub mod halt;
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
pub mod uncertain;
pub mod verdict;
