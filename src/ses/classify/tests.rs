//! Answers over HTTP, read by the SDK, and their classification.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::config::retry::RetryConfig;
use aws_sdk_sesv2::config::timeout::TimeoutConfig;
use aws_sdk_sesv2::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sesv2::types::{
    BulkEmailContent, BulkEmailEntry, BulkEmailStatus, Destination, EmailContent, Template,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

const ADA: &str = "ada@example.com";
const HTML: &str = "<html><body>Access denied by Firewall for ada@example.com</body></html>";

/// The classification of an answer, without its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    Accepted,
    Throttled,
    Quota,
    NotSent,
    Intercepted,
    Singly,
    Refused,
    Halt,
    Uncertain,
}
use Is::{Accepted, Halt, Intercepted, NotSent, Quota, Refused, Singly, Throttled, Uncertain};

fn is(answer: &Answer) -> Is {
    match answer {
        Answer::Accepted(_) => Accepted,
        Answer::Throttled(_) => Throttled,
        Answer::QuotaExhausted(_) => Quota,
        Answer::NotSent(_) => NotSent,
        Answer::Intercepted(_) => Intercepted,
        Answer::Singly(_) => Singly,
        Answer::Refused { .. } => Refused,
        Answer::Halt(_) => Halt,
        Answer::Uncertain { .. } => Uncertain,
    }
}

fn code(answer: &Answer) -> &str {
    match answer {
        Answer::Refused { code, .. } | Answer::Uncertain { code, .. } => code,
        _ => "",
    }
}

/// An HTTP answer.
fn http(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
    let headers: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    [length.as_bytes(), headers.concat().as_bytes(), b"connection: close\r\n\r\n", body].concat()
}

/// An error answer as SES gives it.
fn error(status: u16, code: &str, message: &str) -> Vec<u8> {
    let body = serde_json::json!({ "message": message }).to_string();
    http(status, &[("content-type", "application/json"), ("x-amzn-errortype", code)], body)
}

/// The classification of a single call and of a bulk call for two recipients with this answer, byte for byte.
fn calls(raw: &[u8]) -> (Answer, Vec<Answer>, bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let config = aws_sdk_sesv2::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(url)
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("a", "b", None, None, "test"))
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::disabled())
            .http_client(crate::aws::http_client(Duration::from_secs(3)))
            .build();
        let client = Client::from_conf(config);
        let serve = async {
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
                // The bodies of both calls end in this way, and nothing else does.
                while !request.ends_with(b"}}") && !request.ends_with(b"}]}") {
                    let read = stream.read(&mut buffer).await.unwrap();
                    assert!(read > 0, "the request ends before its body does");
                    request.extend_from_slice(&buffer[..read]);
                }
                stream.write_all(raw).await.unwrap();
            }
        };
        let send = async {
            let template = || Template::builder().template_name("t").build();
            let to = || Destination::builder().to_addresses(ADA).build();
            let content = EmailContent::builder().template(template()).build();
            let single = client.send_email().destination(to()).content(content).send().await;
            let entry = || BulkEmailEntry::builder().destination(to()).build();
            let content = BulkEmailContent::builder().template(template()).build();
            let bulk = client.send_bulk_email().default_content(content);
            let bulk = bulk.bulk_email_entries(entry()).bulk_email_entries(entry()).send().await;
            let recipients = [ADA.to_owned(), ADA.to_owned()];
            let in_vain = no_bulk_calls(&bulk).is_some();
            (classify(single, ADA), classify_bulk(bulk, &recipients), in_vain)
        };
        tokio::join!(serve, send).1
    })
}

/// The classification of both calls.
fn outcome(raw: &[u8]) -> (Is, Is) {
    let (single, bulk, _) = calls(raw);
    assert_eq!(bulk.len(), 2);
    assert_eq!(bulk[0], bulk[1]);
    (is(&single), is(&bulk[0]))
}

#[test]
fn a_success_that_cannot_be_read_is_uncertain() {
    let json = [("content-type", "application/json")];
    let gzip = [("content-type", "application/json"), ("content-encoding", "gzip")];
    for (raw, why) in [
        (http(200, &[("content-type", "text/html")], HTML), "HTML"),
        (http(202, &json, HTML), "another 2xx"),
        (http(200, &json, r#"{"MessageId":"0100"#), "cut JSON"),
        (http(200, &json, r#"{"BulkEmailEntryResults":[{"Status":"SUCCESS""#), "cut JSON"),
        (http(200, &json, b"{\"MessageId\":\"\xff\xfe\"}"), "bad UTF-8"),
        (
            http(200, &json, b"{\"MessageId\":\"a\",\"BulkEmailEntryResults\":[{\"Status\":\"\xff\"}]}"),
            "bad UTF-8",
        ),
        (http(200, &gzip, b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"), "gzip"),
        (http(200, &json, r#"{"MessageId":5,"BulkEmailEntryResults":5}"#), "another type"),
        (http(200, &json, r#"{"MessageId":["a"],"BulkEmailEntryResults":[null,null]}"#), "another type"),
        (http(200, &json, r#"{"MessageId":"a\u0000b","BulkEmailEntryResults":[]}"#), "an id that is none"),
        (http(200, &json, format!(r#"{{"MessageId":"{}"}}"#, "x".repeat(1_000_000))), "an id that is none"),
        (http(200, &json, r#"{"MessageId":""}"#), "no id"),
        (http(200, &json, "{}"), "nothing"),
        (http(200, &json, ""), "nothing"),
        (http(204, &[], ""), "nothing"),
        (http(200, &json, r#"{"__type":"MessageRejected","message":"no"}"#), "an error with success"),
        (http(301, &[("location", "https://elsewhere.example/")], HTML), "a redirect"),
        (http(302, &[("location", "/login")], ""), "a redirect"),
        (http(307, &[("location", "/v2/email/outbound-emails")], ""), "a redirect"),
        (http(308, &[], ""), "a redirect"),
        (http(304, &[], ""), "a redirect"),
        (error(307, "TemporaryRedirect", "elsewhere"), "a redirect, whatever its code"),
        (http(408, &[], ""), "a proxy that did not wait"),
        (error(408, "RequestTimeoutException", "x"), "SES did not wait"),
        (error(400, "RequestTimeout", "x"), "SES did not wait"),
        (http(499, &[], HTML), "a proxy that did not wait"),
        (http(500, &[], HTML), "a server error"),
        (error(500, "InternalFailure", "x"), "a server error"),
        (error(400, "InternalServerError", "x"), "a server error"),
        (http(502, &[], HTML), "a server error"),
        (error(502, "BadRequestException", "Sending paused for this account."), "a server error"),
        (error(503, "ServiceUnavailable", "Maximum sending rate exceeded."), "a server error"),
        (error(500, "TooManyRequestsException", ""), "a server error"),
        (http(504, &[], ""), "a server error"),
        (error(505, "UnknownOperationException", ""), "a server error"),
        (http(520, &[], HTML), "a server error"),
        (b"HTTP/1.1 200 X\r\ncontent-length: 99\r\n\r\n{\"MessageId\":".to_vec(), "it ends too early"),
        (b"nonsense\r\n\r\n".to_vec(), "no HTTP"),
        (Vec::new(), "no answer"),
    ] {
        assert_eq!(
            outcome(&raw),
            (Uncertain, Uncertain),
            "{why}: {}",
            String::from_utf8_lossy(&raw[..raw.len().min(200)])
        );
    }
    let (single, bulk, _) = calls(&http(200, &json, HTML));
    assert_eq!((code(&single), code(&bulk[0])), ("unreadable_answer", "unreadable_answer"));
}

#[test]
fn what_is_not_ses_fails_nobody() {
    let html = [("content-type", "text/html")];
    let json = [("content-type", "application/json")];
    for status in [400, 401, 402, 403, 406, 407, 409, 410, 411, 413, 414, 417, 418, 421, 422, 425, 431, 451] {
        for raw in [
            http(status, &html, HTML),
            http(status, &html, ""),
            http(status, &json, r#"{"message":"Forbidden"}"#),
            http(status, &json, r#"{"message":"Forbidden","code":17}"#),
            http(status, &json, r#"{"code":"BLOCKED","message":"by policy"}"#),
            http(status, &json, "[]"),
        ] {
            assert_eq!(outcome(&raw), (Intercepted, Intercepted), "{status}");
        }
    }
    for status in [404, 405, 501] {
        let (single, bulk, in_vain) = calls(&http(status, &html, HTML));
        assert_eq!((is(&single), is(&bulk[0]), in_vain), (Intercepted, Singly, true), "{status}");
    }
    assert_eq!(outcome(&http(429, &html, HTML)), (Throttled, Throttled));
    // The answer is the reason, without the address.
    let reason = "http_403: <html><body>Access denied by Firewall for a…@example.com</body></html>";
    assert_eq!(calls(&http(403, &html, HTML)).0, Answer::Intercepted(reason.into()));
}

#[test]
fn the_header_names_the_code_where_the_body_cannot_be_read() {
    for body in [HTML, "", r#"{"message":5}"#] {
        let raw = http(400, &[("x-amzn-errortype", "MessageRejected:http://x/")], body);
        let (single, bulk, _) = calls(&raw);
        assert_eq!(
            (is(&single), code(&single), is(&bulk[0])),
            (Refused, "MessageRejected", Singly),
            "{body}"
        );
    }
}

/// Each error that the SDK lists for `SendEmail` and `SendBulkEmail`: the classification of a single call and
/// of a bulk call, and the reason.
const ERRORS: [(&str, Is, Is, &str); 8] = [
    ("AccountSuspendedException", Halt, Halt, "the account may not send at all"),
    (
        "BadRequestException",
        Refused,
        Singly,
        "the request is malformed: most likely by what the recipient's row holds",
    ),
    ("LimitExceededException", Throttled, Throttled, "a limit that time lifts"),
    ("MailFromDomainNotVerifiedException", Halt, Halt, "no message of this sender is taken"),
    ("MessageRejected", Refused, Singly, "this message is not taken"),
    ("NotFoundException", Halt, Singly, "what the request names is not there, or the call is not served"),
    ("SendingPausedException", Halt, Halt, "the account or the configuration set may not send"),
    ("TooManyRequestsException", Throttled, Throttled, "too fast"),
];

/// Each status of a bulk call's entry that the SDK lists, its classification, and the reason.
const STATUSES: [(&str, Is, &str); 14] = [
    ("ACCOUNT_DAILY_QUOTA_EXCEEDED", Quota, "no more today"),
    ("ACCOUNT_SENDING_PAUSED", Halt, "the account may not send"),
    ("ACCOUNT_SUSPENDED", Halt, "the account may not send at all"),
    ("ACCOUNT_THROTTLED", Throttled, "too fast"),
    ("CONFIGURATION_SET_NOT_FOUND", Halt, "all messages name the same one"),
    ("CONFIGURATION_SET_SENDING_PAUSED", Halt, "all messages name the same one"),
    ("FAILED", Refused, "this message is not taken, for a cause that the words tell"),
    ("INVALID_PARAMETER", Refused, "the entry is malformed"),
    ("INVALID_SENDING_POOL_NAME", Halt, "it is the configuration set's"),
    ("MAIL_FROM_DOMAIN_NOT_VERIFIED", Halt, "no message of this sender is taken"),
    ("MESSAGE_REJECTED", Refused, "this message is not taken"),
    ("SUCCESS", Accepted, "it has a message id"),
    ("TEMPLATE_NOT_FOUND", Halt, "all messages have the same one"),
    ("TRANSIENT_FAILURE", Singly, "SES did not get to it"),
];

/// The variants of an error type in the source of the SDK that is in use.
fn variants(operation: &str, name: &str) -> BTreeSet<String> {
    // Dependencies of other platforms are not downloaded.
    let host = Command::new("rustc").args(["--print", "host-tuple"]).output().unwrap();
    let host = String::from_utf8(host.stdout).unwrap();
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--format-version", "1", "--all-features"])
        .args(["--filter-platform", host.trim(), "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let sdk = packages.iter().find(|package| package["name"] == "aws-sdk-sesv2").unwrap();
    let manifest = std::path::Path::new(sdk["manifest_path"].as_str().unwrap());
    let source = manifest.with_file_name(format!("src/operation/{operation}.rs"));
    let source = std::fs::read_to_string(source).unwrap();
    let body = source.split_once(&format!("pub enum {name} {{")).unwrap().1.split_once("\n}").unwrap().0;
    let names = body.lines().filter_map(|line| line.trim().split_once('(')).map(|(name, _)| name);
    names.filter(|name| name.chars().all(char::is_alphanumeric)).map(str::to_owned).collect()
}

#[test]
fn every_error_that_the_sdk_lists_is_in_the_table() {
    let table: BTreeSet<String> =
        ERRORS.iter().map(|(name, ..)| (*name).to_owned()).chain(["Unhandled".to_owned()]).collect();
    assert_eq!(variants("send_email", "SendEmailError"), table);
    assert_eq!(variants("send_bulk_email", "SendBulkEmailError"), table);
    let statuses: Vec<&str> = STATUSES.iter().map(|(name, ..)| *name).collect();
    assert_eq!(BulkEmailStatus::values(), statuses);
}

#[test]
fn every_error_and_status_of_the_table_comes_to_what_it_says() {
    for (name, single, bulk, why) in ERRORS {
        assert_eq!(outcome(&error(400, name, "x")), (single, bulk), "{name}: {why}");
    }
    for (name, expected, why) in STATUSES {
        let id = if name == "SUCCESS" { r#","MessageId":"0100""# } else { r#","Error":"x""# };
        let result = format!(r#"{{"Status":"{name}"{id}}}"#);
        let answers = calls(&http(200, &[], format!(r#"{{"BulkEmailEntryResults":[{result},{result}]}}"#))).1;
        assert_eq!((is(&answers[0]), is(&answers[1])), (expected, expected), "{name}: {why}");
    }
}

/// Each variant of `SdkError` except `ServiceError`, and its classification.
#[test]
fn a_call_without_an_answer_is_uncertain_unless_it_was_never_made() {
    use aws_sdk_sesv2::error::ConnectorError;
    let response = || HttpResponse::new(200.try_into().unwrap(), "{".into());
    let cases: [(SdkError<SendEmailError, HttpResponse>, Is, &str); 7] = [
        (SdkError::construction_failure("x"), NotSent, "the request could not be made"),
        (SdkError::timeout_error("x"), Uncertain, "it may have arrived"),
        (SdkError::response_error("x", response()), Uncertain, "something was answered"),
        (
            SdkError::dispatch_failure(ConnectorError::user("x".into())),
            NotSent,
            "the request is not one of HTTP",
        ),
        (SdkError::dispatch_failure(ConnectorError::timeout("x".into())), Uncertain, "it may have arrived"),
        (SdkError::dispatch_failure(ConnectorError::io("x".into())), Uncertain, "the connection broke"),
        (
            SdkError::dispatch_failure(ConnectorError::other("no region".into(), None)),
            NotSent,
            "the HTTP client never had it",
        ),
    ];
    for (failure, expected, why) in cases {
        assert_eq!(is(&classify(Err(failure), ADA)), expected, "{why}");
    }
}

/// The answers of a bulk call with these results.
fn entries(results: &str, count: usize) -> Vec<Answer> {
    let results: serde_json::Value = serde_json::from_str(results).unwrap();
    let results = results.as_array().unwrap().iter().map(|result| {
        let text = |name: &str| result[name].as_str().map(str::to_owned);
        BulkEmailEntryResult::builder()
            .set_status(text("Status").map(|status| status.as_str().into()))
            .set_error(text("Error"))
            .set_message_id(text("MessageId"))
            .build()
    });
    let output = SendBulkEmailOutput::builder().set_bulk_email_entry_results(Some(results.collect()));
    classify_bulk(Ok(output.build().unwrap()), &vec![ADA.to_owned(); count])
}

#[test]
fn an_entry_without_a_clear_result_is_uncertain() {
    for result in [
        r"{}",
        r#"{"Status":""}"#,
        r#"{"Status":"","Error":"x"}"#,
        r#"{"Error":"x"}"#,
        r#"{"Status":"SOMETHING_NEW"}"#,
        r#"{"Status":"SOMETHING_NEW","Error":"x"}"#,
        r#"{"Status":"SOMETHING_NEW","Error":"x","MessageId":"0100"}"#,
        r#"{"Status":"FAILED","Error":"x","MessageId":"0100"}"#,
        r#"{"Status":"SUCCESS"}"#,
        r#"{"Status":"SUCCESS","MessageId":""}"#,
        r#"{"Status":"SUCCESS","Error":"x"}"#,
        r#"{"Error":"x","MessageId":"0100"}"#,
    ] {
        let answers = entries(&format!(r#"[{{"Status":"SUCCESS","MessageId":"0100"}},{result}]"#), 2);
        assert_eq!((is(&answers[0]), is(&answers[1])), (Accepted, Uncertain), "{result}");
    }
    for (result, expected) in [
        (r#"{"MessageId":"0100"}"#, Accepted),
        (r#"{"Status":"SUCCESS","MessageId":"0100","Error":""}"#, Accepted),
        (r#"{"Status":"Success","MessageId":"0100"}"#, Accepted),
        (r#"{"Status":"MessageRejected","Error":"Address blacklisted."}"#, Refused),
        (r#"{"Status":"FAILED","Error":"Maximum sending rate exceeded."}"#, Throttled),
        (r#"{"Status":"TRANSIENT_FAILURE","Error":"Maximum sending rate exceeded."}"#, Throttled),
        (r#"{"Status":"ACCOUNT_THROTTLED","Error":"Daily message quota exceeded."}"#, Quota),
        (r#"{"Status":"SOMETHING_NEW","Error":"Sending paused for this account."}"#, Halt),
        (r#"{"Status":"CONFIGURATION_SET_DOES_NOT_EXIST","Error":"x"}"#, Halt),
    ] {
        assert_eq!(is(&entries(&format!("[{result}]"), 1)[0]), expected, "{result}");
    }
}

#[test]
fn another_number_of_results_than_entries_makes_all_uncertain() {
    let result = r#"{"Status":"SUCCESS","MessageId":"0100"}"#;
    for (results, count) in [(1, 2), (0, 1), (3, 2), (49, 50)] {
        let answers = entries(&format!("[{}]", vec![result; results].join(",")), count);
        assert_eq!(answers.len(), count);
        assert!(answers.iter().all(|answer| code(answer) == "unreadable_answer"), "{results} for {count}");
    }
}

#[test]
fn a_cause_has_one_name_whichever_call_met_it() {
    let answers =
        entries(r#"[{"Status":"MESSAGE_REJECTED"},{"Status":"INVALID_PARAMETER"},{"Status":"FAILED"}]"#, 3);
    assert_eq!(
        answers.iter().map(code).collect::<Vec<_>>(),
        ["MessageRejected", "BadRequestException", "FAILED"]
    );
    let suspended = entries(r#"[{"Status":"ACCOUNT_SUSPENDED","Error":"x"}]"#, 1);
    assert_eq!(suspended, [Answer::Halt("AccountSuspendedException: x".into())]);
}

#[test]
fn an_endpoint_without_a_call_has_accepted_nothing_by_it() {
    for (status, code) in [
        (501, "NotImplemented"),
        (404, "UnknownOperationException"),
        (404, "NotFoundException"),
        (400, "NotFoundException"),
        (405, "MethodNotAllowed"),
        (400, "UnknownOperationException"),
        (400, "UnsupportedOperation"),
        (400, "UnsupportedOperationException"),
        (400, "InvalidAction"),
    ] {
        let (single, bulk, in_vain) = calls(&error(status, code, "no"));
        let reason = format!("{code}: no");
        assert_eq!((single, in_vain), (Answer::Halt(reason.clone()), true), "{status} {code}");
        assert_eq!(bulk[0], Answer::Singly(reason), "{status} {code}");
    }
}

#[test]
fn a_bulk_call_that_is_refused_for_another_cause_says_nothing_of_the_next_one() {
    for (status, code, message) in [
        (404, "NotFoundException", "Configuration set <x> does not exist."),
        (400, "BadRequestException", "x"),
        (404, "SomethingNew", "Sending paused for this account."),
        (501, "SomethingNew", "Maximum sending rate exceeded."),
        (403, "AccessDeniedException", "not authorized to perform ses:SendBulkEmail"),
        (429, "", ""),
        (500, "", ""),
    ] {
        assert!(!calls(&error(status, code, message)).2, "{status} {code} {message}");
    }
}

#[test]
fn foreign_texts_are_cut_and_on_one_line() {
    let (words, long) = ("a\r\n\u{0}b ", "é".repeat(1_000_000));
    let (single, bulk, _) = calls(&error(400, "MessageRejected", &format!("{words}{long}")));
    let Answer::Refused { message, .. } = single else { panic!("{single:?}") };
    assert_eq!((message.chars().count(), &message[..8]), (1000, "a   b é"));
    let Answer::Singly(reason) = &bulk[0] else { panic!("{bulk:?}") };
    assert_eq!(reason.chars().count(), 1000 + "MessageRejected: ".len());
    let single = calls(&http(502, &[("content-type", "text/html")], long)).0;
    let Answer::Uncertain { message, .. } = single else { panic!("{single:?}") };
    assert!(message.chars().count() <= 200);
    let entry = serde_json::json!([{"Status": "FAILED", "Error": "x\n".repeat(100_000)}]).to_string();
    let Answer::Refused { message, .. } = &entries(&entry, 1)[0] else { panic!() };
    assert_eq!(message.chars().count(), 1000);
    assert!(!message.contains('\n'));
}
