//! Whatever a queue delivers as the body of a record, reading it ends in a value that PostgreSQL can store.
#![no_main]

use campaign_sender::ses_events::event::{Said, parse_text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &str| {
    if let Ok(Said::Event(event)) = parse_text(body) {
        let texts = format!("{}{}{:?}", event.message_id, event.kind.key(), event.kind.wording());
        assert!(!texts.contains('\0') && !event.subject.is_some_and(|subject| subject.contains('\0')));
    }
});
