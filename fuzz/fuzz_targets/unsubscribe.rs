//! Whatever a function URL hands over, reading it ends in a wish, and only a token of ours is one.
#![no_main]

use campaign_sender::unsubscribe::request::Request;
use campaign_sender::message::token::Keys;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|event: &[u8]| {
    if let Ok(event) = serde_json::from_slice(event)
        && let Ok(request) = Request::read(&event)
    {
        let keys = Keys::parse("a-key-that-signed-no-token-0123456789").expect("it is long enough");
        assert_eq!(keys.verify(&request.token), None);
    }
});
