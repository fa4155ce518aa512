//! The local SES endpoint, called by the AWS SDK over HTTP.

use std::time::{Duration, Instant};

use aws_sdk_sesv2::{
    Client,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig},
    error::{ProvideErrorMetadata, SdkError},
    operation::send_email::{SendEmailError, SendEmailOutput},
    primitives::Blob,
    types::{
        BulkEmailContent, BulkEmailEntry, BulkEmailStatus, Content, Destination, EmailContent,
        EmailTemplateContent, MessageHeader, MessageTag, RawMessage, ReplacementEmailContent,
        ReplacementTemplate, Template,
    },
};
use local_ses::ses::{
    Account, Effect, EnforcementStatus, Options, RequestKind, Rule, SesEndpoint, SuppressedDestination,
    SuppressionReason, TokenBucket, Vdm, events, in_sns, in_sqs_batch,
};
use mail_parser::{MessageParser, MimeHeaders};

fn start() -> (SesEndpoint, Client) {
    let endpoint = SesEndpoint::start(Options::default()).unwrap();
    let client = client(&endpoint, "local-secret");
    (endpoint, client)
}

fn client(endpoint: &SesEndpoint, secret: &str) -> Client {
    let config = aws_sdk_sesv2::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .endpoint_url(endpoint.url())
        .credentials_provider(Credentials::new("AKIDLOCAL", secret, None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    Client::from_conf(config)
}

type Sent = Result<SendEmailOutput, SdkError<SendEmailError>>;

async fn send(client: &Client, to: &str) -> Sent {
    send_subject(client, to, "Hello").await
}

async fn send_subject(client: &Client, to: &str, subject: &str) -> Sent {
    client
        .send_email()
        .from_email_address("Shop <shop@example.com>")
        .content(simple(subject))
        .destination(Destination::builder().to_addresses(to).build())
        .reply_to_addresses("help@example.com")
        .configuration_set_name("campaigns")
        .email_tags(tag("campaign_id", "c-1"))
        .email_tags(tag("recipient_id", "r-1"))
        .send()
        .await
}

fn simple(subject: &str) -> EmailContent {
    let part = |data: &str| Content::builder().data(data).charset("UTF-8").build().unwrap();
    let message = aws_sdk_sesv2::types::Message::builder()
        .subject(part(subject))
        .body(
            aws_sdk_sesv2::types::Body::builder()
                .html(part("<p>Grüße, <b>Ann</b></p>"))
                .text(part("Grüße, Ann\nLine two"))
                .build(),
        )
        .headers(header("List-Unsubscribe", "<https://example.com/u?t=1>"))
        .headers(header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"))
        .build();
    EmailContent::builder().simple(message).build()
}

fn tag(name: &str, value: &str) -> MessageTag {
    MessageTag::builder().name(name).value(value).build().unwrap()
}

fn header(name: &str, value: &str) -> MessageHeader {
    MessageHeader::builder().name(name).value(value).build().unwrap()
}

fn bulk_entry(to: &str, data: &str) -> BulkEmailEntry {
    BulkEmailEntry::builder()
        .destination(Destination::builder().to_addresses(to).build())
        .replacement_tags(tag("recipient_id", to))
        .replacement_headers(header("X-For", to))
        .replacement_email_content(
            ReplacementEmailContent::builder()
                .replacement_template(ReplacementTemplate::builder().replacement_template_data(data).build())
                .build(),
        )
        .build()
}

async fn send_bulk(
    client: &Client,
    entries: Vec<BulkEmailEntry>,
) -> Vec<aws_sdk_sesv2::types::BulkEmailEntryResult> {
    let template = Template::builder()
        .template_content(
            EmailTemplateContent::builder()
                .subject("{{subject}}")
                .html("{{{html}}}<i>{{subject}}</i>")
                .text("{{{text}}}")
                .build(),
        )
        .template_data("{}")
        .build();
    let output = client
        .send_bulk_email()
        .from_email_address("shop@example.com")
        .default_content(BulkEmailContent::builder().template(template).build())
        .default_email_tags(tag("campaign_id", "c-1"))
        .set_bulk_email_entries(Some(entries))
        .send()
        .await
        .unwrap();
    output.bulk_email_entry_results().to_vec()
}

fn code<T: std::fmt::Debug, E: ProvideErrorMetadata + std::fmt::Debug>(
    result: &Result<T, SdkError<E>>,
) -> String {
    let error = result.as_ref().unwrap_err().as_service_error().expect("an answer of the service");
    error.code().unwrap().to_owned()
}

fn is_unanswered(sent: &Sent) -> bool {
    matches!(sent, Err(SdkError::DispatchFailure(_) | SdkError::ResponseError(_)))
}

#[tokio::test]
async fn a_message_that_was_sent_is_in_the_mailbox_as_it_was_sent() {
    let (endpoint, client) = start();
    let sent = send(&client, "Ann <ann@example.com>").await.unwrap();
    let messages = endpoint.messages();
    let [message] = messages.as_slice() else { panic!("one message, got {}", messages.len()) };
    assert_eq!(sent.message_id(), Some(message.id.as_str()));
    assert_eq!(message.kind, RequestKind::Single);
    assert_eq!(message.from, "Shop <shop@example.com>");
    assert_eq!(message.to, ["Ann <ann@example.com>"]);
    assert_eq!(message.recipients().collect::<Vec<_>>(), ["ann@example.com"]);
    assert_eq!(message.subject, "Hello");
    assert_eq!(message.html.as_deref(), Some("<p>Grüße, <b>Ann</b></p>"));
    assert_eq!(message.text.as_deref(), Some("Grüße, Ann\nLine two"));
    assert_eq!(message.header("list-unsubscribe"), Some("<https://example.com/u?t=1>"));
    assert_eq!(message.tag("campaign_id"), Some("c-1"));
    assert_eq!(message.configuration_set.as_deref(), Some("campaigns"));
    assert_eq!(message.reply_to, ["help@example.com"]);
}

#[tokio::test]
async fn a_bulk_call_fills_each_entry_in_and_answers_in_order() {
    let (endpoint, client) = start();
    let results = send_bulk(
        &client,
        vec![
            bulk_entry("a@example.com", r#"{"subject":"A & a","html":"<p>a</p>","text":"a"}"#),
            bulk_entry("b@example.com", r#"{"subject":"B","html":"<p>b</p>","text":"b"}"#),
        ],
    )
    .await;
    let messages = endpoint.messages();
    let ids: Vec<_> = messages.iter().map(|message| Some(message.id.as_str())).collect();
    assert_eq!(results.iter().map(|result| result.message_id()).collect::<Vec<_>>(), ids);
    assert!(results.iter().all(|result| result.status() == Some(&BulkEmailStatus::Success)));
    assert_eq!(messages[0].subject, "A & a");
    assert_eq!(messages[0].html.as_deref(), Some("<p>a</p><i>A &amp; a</i>"));
    assert_eq!(messages[1].text.as_deref(), Some("b"));
    assert_eq!(messages[1].kind, RequestKind::Bulk);
    assert_eq!(
        (messages[1].tag("recipient_id"), messages[1].tag("campaign_id")),
        (Some("b@example.com"), Some("c-1"))
    );
    assert_eq!(messages[1].header("X-For"), Some("b@example.com"));
}

#[tokio::test]
async fn a_raw_message_is_taken_as_it_is() {
    let (endpoint, client) = start();
    let mime = "From: shop@example.com\r\nTo: Ann <ann@example.com>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\
                Content-Type: text/html; charset=utf-8\r\n\r\n<p>raw</p>\r\n";
    let raw = RawMessage::builder().data(Blob::new(mime)).build().unwrap();
    client.send_email().content(EmailContent::builder().raw(raw).build()).send().await.unwrap();
    let message = &endpoint.messages()[0];
    assert_eq!((message.from.as_str(), message.subject.as_str()), ("shop@example.com", "Grüße"));
    assert_eq!(message.to, ["ann@example.com"]);
    assert_eq!((message.html.as_deref().map(str::trim), message.text.as_deref()), (Some("<p>raw</p>"), None));
}

#[tokio::test]
async fn a_request_signed_with_another_secret_is_refused() {
    let (endpoint, _) = start();
    let forger = client(&endpoint, "another-secret");
    assert_eq!(code(&send(&forger, "ann@example.com").await), "InvalidSignatureException");
    assert_eq!(code(&forger.get_account().send().await), "InvalidSignatureException");
    assert_eq!((endpoint.message_count(), endpoint.statistics().unauthenticated), (0, 2));
}

#[tokio::test]
async fn requests_that_ses_calls_bad_are_refused_and_leave_nothing() {
    let (endpoint, client) = start();
    for (to, subject) in [
        ("nobody", "Hello"),
        ("ä@example.com", "Hello"),
        ("a@bücher.example", "Hello"),
        ("ann@example.com", "two\r\nlines"),
    ] {
        assert_eq!(code(&send_subject(&client, to, subject).await), "BadRequestException", "{to} {subject}");
    }
    assert_eq!(endpoint.message_count(), 0);
    assert_eq!(endpoint.statistics().refused, 4);
}

#[tokio::test]
async fn the_account_and_the_suppression_list_are_as_they_were_set() {
    let (endpoint, client) = start();
    endpoint.set_account(Account {
        max_send_rate: 14.0,
        max_24_hour_send: 50_000.0,
        sent_last_24_hours: 7.0,
        ..Account::default()
    });
    send(&client, "ann@example.com").await.unwrap();
    let account = client.get_account().send().await.unwrap();
    let quota = account.send_quota().unwrap();
    assert_eq!((quota.max_send_rate(), quota.max24_hour_send()), (14.0, 50_000.0));
    assert!((quota.sent_last24_hours() - 8.0).abs() < f64::EPSILON);
    assert!(account.sending_enabled() && account.production_access_enabled());

    let suppressed = |n: usize| SuppressedDestination {
        email_address: format!("r{n}@example.com"),
        reason: SuppressionReason::Bounce,
        last_update: std::time::UNIX_EPOCH,
    };
    endpoint.set_suppressed((0..5).map(suppressed).collect());
    let mut pages = client.list_suppressed_destinations().page_size(2).into_paginator().send();
    let (mut page_count, mut addresses) = (0, Vec::new());
    while let Some(page) = pages.next().await {
        page_count += 1;
        addresses.extend(
            page.unwrap().suppressed_destination_summaries().iter().map(|s| s.email_address().to_owned()),
        );
    }
    assert_eq!(page_count, 3);
    assert_eq!(addresses, (0..5).map(|n| format!("r{n}@example.com")).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_account_that_may_not_send_refuses_everything() {
    let (endpoint, client) = start();
    endpoint.set_account(Account { sending_enabled: false, ..Account::default() });
    assert_eq!(code(&send(&client, "a@example.com").await), "SendingPausedException");
    endpoint.set_account(Account { enforcement_status: EnforcementStatus::Shutdown, ..Account::default() });
    assert_eq!(code(&send(&client, "a@example.com").await), "AccountSuspendedException");
    endpoint.set_account(Account { max_24_hour_send: 1.0, ..Account::default() });
    send(&client, "a@example.com").await.unwrap();
    assert_eq!(code(&send(&client, "b@example.com").await), "LimitExceededException");
}

#[tokio::test]
async fn beyond_the_rate_a_single_message_and_a_bulk_entry_are_throttled() {
    let (endpoint, client) = start();
    endpoint.set_rate(Some(TokenBucket::full(0.000_001, 2.0)));
    send(&client, "a@example.com").await.unwrap();
    let data = r#"{"subject":"s","html":"h","text":"t"}"#;
    let results =
        send_bulk(&client, vec![bulk_entry("b@example.com", data), bulk_entry("c@example.com", data)]).await;
    let statuses: Vec<_> = results.iter().map(|result| result.status().unwrap().as_str()).collect();
    assert_eq!(statuses, ["SUCCESS", "ACCOUNT_THROTTLED"]);
    let throttled = send(&client, "d@example.com").await;
    assert_eq!(code(&throttled), "TooManyRequestsException");
    assert_eq!(throttled.unwrap_err().message(), Some("Maximum sending rate exceeded."));
    assert_eq!((endpoint.message_count(), endpoint.statistics().throttled), (2, 2));
}

fn rejected() -> Effect {
    Effect::Refuse { code: "MessageRejected".into(), message: "Not verified".into(), status: 400 }
}

#[tokio::test]
async fn the_first_rule_that_matches_decides_until_it_is_spent() {
    let (endpoint, client) = start();
    endpoint.add_rule(Rule::to("ann@example.com", rejected()).times(1));
    endpoint.add_rule(Rule::to_containing("ann", Effect::Throttle).times(1));
    endpoint.add_rule(Rule::nth(4, Effect::ServerError));
    assert_eq!(code(&send(&client, "Ann@example.com").await), "MessageRejected");
    assert_eq!(code(&send(&client, "ann@example.com").await), "TooManyRequestsException");
    send(&client, "ann@example.com").await.unwrap();
    let failed = send(&client, "bob@example.com").await;
    assert_eq!(failed.as_ref().unwrap_err().raw_response().unwrap().status().as_u16(), 500);
    send(&client, "bob@example.com").await.unwrap();
    endpoint.add_rule(Rule::any(rejected()));
    assert_eq!(code(&send(&client, "bob@example.com").await), "MessageRejected");
    endpoint.clear_rules();
    send(&client, "bob@example.com").await.unwrap();
    assert_eq!(endpoint.message_count(), 3);
}

#[tokio::test]
async fn an_address_rule_refuses_only_its_entry_of_a_bulk_call() {
    let (endpoint, client) = start();
    endpoint.add_rule(Rule::to("b@example.com", rejected()));
    let data = r#"{"subject":"s","html":"h","text":"t"}"#;
    let entries = ["a@example.com", "b@example.com", "c@example.com"].map(|to| bulk_entry(to, data));
    let results = send_bulk(&client, entries.to_vec()).await;
    let statuses: Vec<_> = results.iter().map(|result| result.status().unwrap().as_str()).collect();
    assert_eq!(statuses, ["SUCCESS", "MESSAGE_REJECTED", "SUCCESS"]);
    assert_eq!(results[1].error(), Some("Not verified"));
    assert_eq!(endpoint.message_count(), 2);
}

#[tokio::test]
async fn a_connection_dropped_before_accepting_leaves_nothing_and_after_it_leaves_the_message() {
    let (endpoint, client) = start();
    endpoint.add_rule(Rule::nth(1, Effect::DropBeforeAccept));
    endpoint.add_rule(Rule::nth(2, Effect::DropAfterAccept));
    assert!(is_unanswered(&send(&client, "ann@example.com").await));
    assert_eq!(endpoint.message_count(), 0);
    assert!(is_unanswered(&send(&client, "ann@example.com").await));
    assert_eq!(endpoint.message_count(), 1);
    send(&client, "ann@example.com").await.unwrap();
    assert_eq!(endpoint.addresses_received_more_than_once().get("ann@example.com"), Some(&2));
    assert_eq!(endpoint.statistics().dropped, 2);
}

#[tokio::test]
async fn a_late_answer_was_accepted_at_once_and_a_delayed_one_was_not() {
    let (endpoint, client) = start();
    let forever = 3_600_000;
    endpoint.add_rule(Rule::to("late@example.com", Effect::AcceptThenDelay { ms: forever }));
    endpoint.add_rule(Rule::to("delayed@example.com", Effect::Delay { ms: forever }));
    for to in ["late@example.com", "delayed@example.com"] {
        let client = client.clone();
        tokio::spawn(async move { send(&client, to).await });
    }
    while endpoint.statistics().send_requests < 2 || endpoint.message_count() < 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(endpoint.messages()[0].to, ["late@example.com"]);
    assert_eq!(endpoint.message_count(), 1);
}

#[tokio::test]
async fn every_answer_takes_the_latency_that_was_set() {
    let (endpoint, client) = start();
    endpoint.set_latency(Duration::from_millis(30));
    let begin = Instant::now();
    send(&client, "ann@example.com").await.unwrap();
    client.get_account().send().await.unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(60));
}

#[tokio::test]
async fn idle_connections_are_closed_on_demand_and_the_next_request_opens_another() {
    let (endpoint, client) = start();
    send(&client, "a@example.com").await.unwrap();
    send(&client, "b@example.com").await.unwrap();
    assert_eq!(endpoint.statistics().connections, 1, "kept alive");
    endpoint.close_idle_connections();
    assert_eq!(endpoint.statistics().open_connections, 0);
    // A client that was frozen meanwhile finds out only by a request, and that request is lost.
    if let Err(lost) = send(&client, "c@example.com").await {
        assert!(is_unanswered(&Err(lost)));
        send(&client, "c@example.com").await.unwrap();
    }
    assert_eq!(endpoint.message_count(), 3);
    assert_eq!(endpoint.statistics().connections, 2);
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed_with_the_idle_ones() {
    let (endpoint, _) = start();
    let mut stream =
        tokio::net::TcpStream::connect(endpoint.url().trim_start_matches("http://")).await.unwrap();
    while endpoint.statistics().open_connections == 0 {
        tokio::task::yield_now().await;
    }
    endpoint.close_idle_connections();
    let mut rest = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await.unwrap();
    assert!(rest.is_empty());
}

#[tokio::test]
async fn a_written_eml_is_mime_that_a_mail_parser_reads_back() {
    let (endpoint, client) = start();
    let long = "Grüße und ein sehr langer Betreff mit Umlauten äöüß, 漢字 und 🎉, länger als eine Zeile es sein darf";
    send_subject(&client, "Ann <ann@example.com>", long).await.unwrap();
    let dir = std::env::temp_dir().join(format!("local-ses-{}", std::process::id()));
    assert_eq!(endpoint.write_eml(&dir).unwrap(), 1);
    let source = std::fs::read(dir.join("000001-ann@example.com.eml")).unwrap();
    std::fs::remove_dir_all(&dir).unwrap();

    assert!(source.is_ascii());
    assert!(
        source
            .split(|byte| *byte == b'\n')
            .all(|line| line.len() <= 998 && (line.is_empty() || line.ends_with(b"\r")))
    );
    let mail = MessageParser::default().parse(&source).unwrap();
    assert_eq!(mail.subject(), Some(long));
    assert_eq!(mail.from().unwrap().first().unwrap().address(), Some("shop@example.com"));
    assert_eq!(mail.to().unwrap().first().unwrap().name(), Some("Ann"));
    assert_eq!(mail.body_html(0).unwrap().trim(), "<p>Grüße, <b>Ann</b></p>");
    assert_eq!(mail.body_text(0).unwrap().replace("\r\n", "\n").trim(), "Grüße, Ann\nLine two");
    assert!(mail.is_content_type("multipart", "alternative"));
    assert_eq!(mail.header_raw("List-Unsubscribe").unwrap().trim(), "<https://example.com/u?t=1>");
}

fn event_types(events: &[serde_json::Value]) -> Vec<&str> {
    events.iter().map(|event| event["detail"]["eventType"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_simulator_s_addresses_have_the_simulator_s_events() {
    let (endpoint, client) = start();
    let suppressed = |address: &str, reason| SuppressedDestination {
        email_address: address.into(),
        reason,
        last_update: std::time::UNIX_EPOCH,
    };
    endpoint.set_suppressed(vec![
        suppressed("Gone@example.com", SuppressionReason::Bounce),
        suppressed("angry@example.com", SuppressionReason::Complaint),
    ]);
    for to in [
        "success@simulator.amazonses.com",
        "bounce+7@simulator.amazonses.com",
        "complaint@simulator.amazonses.com",
        "suppressionlist@simulator.amazonses.com",
        "ooto@simulator.amazonses.com",
        "gone@example.com",
        "angry@example.com",
    ] {
        send(&client, to).await.unwrap();
    }
    let all: Vec<_> = endpoint.messages().iter().map(events).collect();
    assert_eq!(event_types(&all[0]), ["Send", "Delivery"]);
    assert_eq!(event_types(&all[1]), ["Send", "Bounce"]);
    assert_eq!(event_types(&all[2]), ["Send", "Delivery", "Complaint"]);
    assert_eq!(event_types(&all[3]), ["Send", "Bounce"]);
    assert_eq!(event_types(&all[4]), ["Send", "Delivery", "Bounce"]);
    assert_eq!(event_types(&all[6]), ["Send", "Complaint"]);
    assert_eq!(all[4][2]["detail"]["bounce"]["bounceType"], "Transient");
    assert_eq!(all[4][2]["detail"]["bounce"]["bounceSubType"], "General");
    assert_eq!(all[6][1]["detail"]["complaint"]["complaintSubType"], "OnAccountSuppressionList");
    assert_eq!(all[1][1]["detail"]["bounce"]["bounceSubType"], "General");
    assert_eq!(all[3][1]["detail"]["bounce"]["bounceSubType"], "Suppressed");
    assert_eq!(all[5][1]["detail"]["bounce"]["bounceSubType"], "OnAccountSuppressionList");

    let bounce = &all[1][1];
    assert_eq!((&bounce["detail-type"], &bounce["source"]), (&"Email Bounced".into(), &"aws.ses".into()));
    assert_eq!(bounce["detail"]["mail"]["tags"]["campaign_id"], serde_json::json!(["c-1"]));
    assert_eq!(bounce["detail"]["mail"]["messageId"], endpoint.messages()[1].id);
    assert_ne!(all[1][0]["id"], all[1][1]["id"]);
    assert_eq!(events(&endpoint.messages()[1]), all[1], "the same each time");

    let batch = in_sqs_batch(&[in_sns(bounce), bounce.clone()]);
    let body = |n: usize| -> serde_json::Value {
        serde_json::from_str(batch["Records"][n]["body"].as_str().unwrap()).unwrap()
    };
    let inner: serde_json::Value = serde_json::from_str(body(0)["Message"].as_str().unwrap()).unwrap();
    assert_eq!((&inner, &body(1)), (&bounce["detail"], bounce));
}

/// Sends a request like another process; returns the status line and the body.
async fn local(endpoint: &SesEndpoint, request: &str, body: &str) -> (String, String) {
    let address = endpoint.url().trim_start_matches("http://").to_owned();
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    let text = format!(
        "{request} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    tokio::io::AsyncWriteExt::write_all(&mut stream, text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[tokio::test]
async fn another_process_can_set_the_behaviour_and_read_the_mailbox() {
    let (endpoint, client) = start();
    for (request, body) in [
        ("PUT /_local/account", r#"{"maxSendRate":3}"#),
        ("PUT /_local/rate", r#"{"perSecond":0.000001,"burst":2}"#),
        ("PUT /_local/latency", r#"{"ms":0}"#),
        ("PUT /_local/suppressions", r#"[{"emailAddress":"gone@example.com","reason":"COMPLAINT"}]"#),
        (
            "POST /_local/rules",
            r#"{"recipient":{"exact":"no@example.com"},"effect":"serverError","times":1}"#,
        ),
        (
            "POST /_local/rules",
            r#"[{"request":1,"effect":{"refuse":{"code":"MessageRejected","message":"m","status":400}}}]"#,
        ),
    ] {
        let (head, answer) = local(&endpoint, request, body).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{request}: {answer}");
    }
    assert_eq!(code(&send(&client, "ann@example.com").await), "MessageRejected");
    assert!(send(&client, "no@example.com").await.is_err());
    send(&client, "ann@example.com").await.unwrap();
    send(&client, "gone@example.com").await.unwrap();
    assert_eq!(code(&send(&client, "late@example.com").await), "TooManyRequestsException");
    let account = client.get_account().send().await.unwrap();
    assert!((account.send_quota().unwrap().max_send_rate() - 3.0).abs() < f64::EPSILON);

    let json = |text: &str| -> serde_json::Value { serde_json::from_str(text).unwrap() };
    let page = json(&local(&endpoint, "GET /_local/messages?q=ANN%40example", "").await.1);
    assert_eq!((&page["total"], page["messages"].as_array().unwrap().len()), (&2.into(), 1));
    let path = format!("/_local/messages/{}", page["messages"][0]["id"].as_str().unwrap());
    let whole = json(&local(&endpoint, &format!("GET {path}"), "").await.1);
    assert_eq!(whole["html"], "<p>Grüße, <b>Ann</b></p>");
    let (_, source) = local(&endpoint, &format!("GET {path}/raw"), "").await;
    assert!(MessageParser::default().parse(source.as_bytes()).unwrap().subject() == Some("Hello"));
    let (head, html) = local(&endpoint, &format!("GET {path}/html"), "").await;
    assert!(head.contains("content-security-policy: sandbox") && html.contains("<b>Ann</b>"));
    let events = json(&local(&endpoint, "GET /_local/events?after=1", "").await.1);
    assert_eq!(event_types(events["events"].as_array().unwrap()), ["Send", "Complaint"]);
    assert!(local(&endpoint, "GET /", "").await.1.starts_with("<!doctype html>"));

    let (head, _) = local(&endpoint, "POST /_local/rules", r#"{"effect":"explode"}"#).await;
    assert!(head.starts_with("HTTP/1.1 400"));
    let (head, _) = local(&endpoint, "GET /_local/nothing", "").await;
    assert!(head.starts_with("HTTP/1.1 404"));
    local(&endpoint, "DELETE /_local/messages", "").await;
    assert_eq!(endpoint.message_count(), 0);
}

/// What the endpoint answers to a request that a browser makes for a page of somebody else.
fn raw(endpoint: &SesEndpoint, head: &str) -> String {
    use std::io::{Read, Write};
    let address = endpoint.url().trim_start_matches("http://").to_owned();
    let mut stream = std::net::TcpStream::connect(&address).unwrap();
    let head = head.replace("OWN", &address);
    write!(stream, "{head}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test]
async fn a_page_of_somebody_else_reads_and_changes_nothing() {
    let (endpoint, client) = start();
    send(&client, "ada@example.com").await.unwrap();
    for head in [
        "GET /_local/messages HTTP/1.1\r\nHost: rebound.example.com",
        "GET / HTTP/1.1\r\nHost: rebound.example.com:80",
        "DELETE /_local/messages HTTP/1.1\r\nHost: OWN\r\nOrigin: http://evil.example.com",
        "DELETE /_local/messages HTTP/1.1\r\nHost: OWN\r\nOrigin: null",
        "POST /_local/rules HTTP/1.1\r\nHost: OWN\r\nSec-Fetch-Site: cross-site",
        "POST /v2/email/outbound-emails HTTP/1.1\r\nHost: OWN\r\nOrigin: http://evil.example.com",
    ] {
        let answer = raw(&endpoint, head);
        assert!(
            answer.starts_with("HTTP/1.1 403") && !answer.contains("ada@example.com"),
            "{head}: {answer}"
        );
    }
    assert_eq!(endpoint.message_count(), 1);
    assert!(raw(&endpoint, "GET /_local/messages HTTP/1.1\r\nHost: OWN").contains("ada@example.com"));
    let own = raw(&endpoint, "DELETE /_local/messages HTTP/1.1\r\nHost: OWN\r\nOrigin: http://OWN");
    assert!(own.starts_with("HTTP/1.1 2"), "{own}");
    assert_eq!(endpoint.message_count(), 0);
}

#[tokio::test]
async fn message_insights_find_a_message_by_its_address_and_show_its_tags() {
    use aws_sdk_sesv2::primitives::DateTime;
    use aws_sdk_sesv2::types::{
        DataFormat, EventType, ExportDataSource, ExportDestination, JobStatus, MessageInsightsDataSource,
        MessageInsightsFilters,
    };
    let (endpoint, client) = start();
    let sent = send(&client, "ann@example.com").await.unwrap();
    send(&client, "bob@example.com").await.unwrap();
    let id = sent.message_id().unwrap();

    let create = |addresses: &[&str], format: DataFormat| {
        let filter = addresses.iter().map(|address| (*address).to_owned()).collect();
        let source = MessageInsightsDataSource::builder()
            .start_date(DateTime::from_secs(0))
            .end_date(DateTime::from(std::time::SystemTime::now() + Duration::from_secs(60)))
            .include(MessageInsightsFilters::builder().set_destination(Some(filter)).build())
            .build()
            .unwrap();
        client
            .create_export_job()
            .export_data_source(ExportDataSource::builder().message_insights_data_source(source).build())
            .export_destination(ExportDestination::builder().data_format(format).build().unwrap())
            .send()
    };
    let off = create(&["ann@example.com"], DataFormat::Csv).await.unwrap_err();
    assert_eq!(off.code(), Some("BadRequestException"));
    endpoint.set_vdm(Vdm { enabled: true, failing: false });
    let six = ["a", "b", "c", "d", "e", "f"];
    assert_eq!(create(&six, DataFormat::Csv).await.unwrap_err().code(), Some("BadRequestException"));

    for format in [DataFormat::Csv, DataFormat::Json] {
        let job = create(&["ann@example.com"], format).await.unwrap();
        let job = job.job_id().unwrap();
        let mut states = Vec::new();
        let url = loop {
            let answer = client.get_export_job().job_id(job).send().await.unwrap();
            states.push(answer.job_status().unwrap().clone());
            if let Some(url) = answer.export_destination().and_then(|to| to.s3_url()) {
                break url.to_owned();
            }
            assert!(states.len() < 10, "{states:?}");
        };
        assert_eq!(states, [JobStatus::Created, JobStatus::Processing, JobStatus::Completed]);
        let file = get(&url);
        assert!(file.contains(id) && !file.contains("bob@example.com"), "{file}");
    }

    let found = client.get_message_insights().message_id(id).send().await.unwrap();
    let tag = |name: &str| found.email_tags().iter().find(|tag| tag.name() == name).map(MessageTag::value);
    assert_eq!((tag("recipient_id"), tag("ses:from-domain")), (Some("r-1"), Some("example.com")));
    assert_eq!(found.insights()[0].destination(), Some("ann@example.com"));
    let happened: Vec<_> =
        found.insights()[0].events().iter().filter_map(|event| event.r#type().cloned()).collect();
    assert_eq!(happened, [EventType::Send, EventType::Delivery]);
    let unknown = client.get_message_insights().message_id("0100").send().await.unwrap_err();
    assert_eq!(unknown.code(), Some("NotFoundException"));
}

/// The body of the answer at a URL.
fn get(url: &str) -> String {
    use std::io::{Read as _, Write as _};
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}
