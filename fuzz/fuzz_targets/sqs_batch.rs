//! Whatever JSON Lambda hands over as a batch, reading it ends in records or in one message.
#![no_main]

use campaign_sender::ses_events::sqs;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|event: &[u8]| {
    if let Ok(event) = serde_json::from_slice(event) {
        let _ = sqs::records(event);
    }
});
