//! Reads `SendEmail` and `SendBulkEmail` requests into the messages that they ask for.
//!
//! Everything that SES would refuse as a bad request is refused here; one bad entry refuses a whole bulk
//! call.

use std::{sync::Arc, time::SystemTime};

use serde_json::Map;

use super::{
    check,
    message::{Message, RequestKind, new_message_id},
    raw,
    refusal::Refusal,
    request::{
        BulkEmailEntry, Destination, EmailContent, NameValue, SendBulkEmail, SendEmail, Simple, Template,
    },
    template::{CompiledTemplate, template_data},
};

/// A well-formed message that is not accepted yet.
pub(super) struct Submission {
    pub(super) message: Message,
    /// Its template data lacks a variable: SES accepts it, and never sends it.
    pub(super) rendering_failed: bool,
}

/// Reads the body of `SendEmail`, received at `now`.
pub(super) fn single(body: &[u8], now: SystemTime) -> Result<Submission, Refusal> {
    let request: SendEmail = parse(body)?;
    let mut message = blank(RequestKind::Single, now);
    message.reply_to = request.reply_to_addresses;
    message.feedback_forwarding = request.feedback_forwarding_email_address;
    message.configuration_set = request.configuration_set_name;
    check::tags(&request.email_tags)?;
    message.tags = request.email_tags;

    message.from = request.from_email_address.unwrap_or_default();
    set_destination(&mut message, request.destination);

    let EmailContent { simple, raw, template } = request.content;
    let mut rendering_failed = false;
    match (simple, raw, template) {
        (Some(simple), None, None) => put_simple(&mut message, simple)?,
        (None, Some(content), None) => raw::put(&mut message, &content.data)?,
        (None, None, Some(template)) => {
            let data = template_data(template.template_data.as_deref().unwrap_or("{}"))?;
            rendering_failed = !put_template(&mut message, &inline(&template)?, &data);
            check::headers(&template.headers)?;
            message.headers = template.headers;
        }
        _ => {
            return Err(Refusal::bad_request(
                "Content: exactly one of Simple, Raw and Template is required.",
            ));
        }
    }
    finish(&message)?;
    Ok(Submission { message, rendering_failed })
}

/// Reads the body of `SendBulkEmail`, received at `now`: one submission for each entry, in their order.
pub(super) fn bulk(body: &[u8], now: SystemTime) -> Result<Vec<Submission>, Refusal> {
    let mut request: SendBulkEmail = parse(body)?;
    let entries = std::mem::take(&mut request.bulk_email_entries);
    if entries.is_empty() || entries.len() > check::MAX_DESTINATIONS {
        return Err(Refusal::bad_request(format!(
            "BulkEmailEntries: expected 1 to {} entries, got {}.",
            check::MAX_DESTINATIONS,
            entries.len()
        )));
    }
    let compiled = inline(&request.default_content.template)?;
    let default_data =
        template_data(request.default_content.template.template_data.as_deref().unwrap_or("{}"))?;
    entries.into_iter().map(|entry| bulk_entry(&request, &compiled, &default_data, entry, now)).collect()
}

fn bulk_entry(
    request: &SendBulkEmail,
    template: &CompiledTemplate<'_>,
    default_data: &Map<String, serde_json::Value>,
    entry: BulkEmailEntry,
    now: SystemTime,
) -> Result<Submission, Refusal> {
    let mut message = blank(RequestKind::Bulk, now);
    message.from = request.from_email_address.clone().unwrap_or_default();
    message.reply_to.clone_from(&request.reply_to_addresses);
    message.feedback_forwarding.clone_from(&request.feedback_forwarding_email_address);
    message.configuration_set.clone_from(&request.configuration_set_name);
    set_destination(&mut message, entry.destination);

    message.tags = replace(&request.default_email_tags, &entry.replacement_tags, |a, b| a == b);
    check::tags(&message.tags)?;
    let default_headers = &request.default_content.template.headers;
    message.headers = replace(default_headers, &entry.replacement_headers, str::eq_ignore_ascii_case);
    check::headers(&message.headers)?;

    let replacement = entry.replacement_email_content.and_then(|content| content.replacement_template);
    let data = replacement.and_then(|template| template.replacement_template_data);
    let data = data.as_deref().map(template_data).transpose()?.filter(|data| !data.is_empty());
    // SES uses the default data for an entry without its own data; it does not merge the two.
    let data = data.as_ref().unwrap_or(default_data);
    let rendering_failed = !put_template(&mut message, template, data);
    finish(&message)?;
    Ok(Submission { message, rendering_failed })
}

fn parse<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::bad_request(format!("Malformed request: {error}.")))
}

fn blank(kind: RequestKind, received: SystemTime) -> Message {
    Message {
        sequence: 0,
        id: new_message_id(received),
        kind,
        received,
        from: String::new(),
        to: Vec::new(),
        cc: Vec::new(),
        bcc: Vec::new(),
        reply_to: Vec::new(),
        feedback_forwarding: None,
        subject: String::new(),
        html: None,
        text: None,
        headers: Vec::new(),
        tags: Vec::new(),
        configuration_set: None,
        suppressed: None,
        raw: None,
    }
}

fn set_destination(message: &mut Message, destination: Destination) {
    message.to = destination.to_addresses;
    message.cc = destination.cc_addresses;
    message.bcc = destination.bcc_addresses;
}

fn put_simple(message: &mut Message, simple: Simple) -> Result<(), Refusal> {
    message.subject = simple.subject.data;
    message.html = simple.body.html.map(|content| content.data.into());
    message.text = simple.body.text.map(|content| content.data.into());
    if message.html.is_none() && message.text.is_none() {
        return Err(Refusal::bad_request("Body: Html or Text is required."));
    }
    check::headers(&simple.headers)?;
    message.headers = simple.headers;
    Ok(())
}

/// Fills the template in; false when the data lacks a variable.
fn put_template(
    message: &mut Message,
    template: &CompiledTemplate<'_>,
    data: &Map<String, serde_json::Value>,
) -> bool {
    let body =
        |part: &Option<_>| part.as_ref().map(|part: &super::template::Part<'_>| part.fill(data)).transpose();
    let (Ok(subject), Ok(html), Ok(text)) =
        (template.subject.fill(data), body(&template.html), body(&template.text))
    else {
        return false;
    };
    message.subject = subject;
    message.html = html.map(Arc::from);
    message.text = text.map(Arc::from);
    true
}

fn inline(template: &Template) -> Result<CompiledTemplate<'_>, Refusal> {
    match (&template.template_content, template.template_name.as_ref().or(template.template_arn.as_ref())) {
        (Some(content), None) => CompiledTemplate::new(content),
        (None, Some(name)) => Err(Refusal::not_found(format!("Template {name} does not exist"))),
        _ => Err(Refusal::bad_request(
            "Template: exactly one of TemplateContent and TemplateName is required.",
        )),
    }
}

/// The defaults, with those of the same name taken out, and then the replacements.
fn replace(
    defaults: &[NameValue],
    replacements: &[NameValue],
    same: impl Fn(&str, &str) -> bool,
) -> Vec<NameValue> {
    let kept = defaults.iter().filter(|d| !replacements.iter().any(|r| same(&d.name, &r.name)));
    kept.chain(replacements).cloned().collect()
}

/// The checks for every message, whatever the form of its content.
fn finish(message: &Message) -> Result<(), Refusal> {
    if message.from.is_empty() {
        return Err(Refusal::bad_request("FromEmailAddress is required."));
    }
    check::address(&message.from)?;
    check::recipients(message)?;
    message
        .reply_to
        .iter()
        .chain(&message.feedback_forwarding)
        .try_for_each(|value| check::address(value))?;
    check::subject(&message.subject)?;
    let bodies = message.html.as_deref().map_or(0, str::len) + message.text.as_deref().map_or(0, str::len);
    check::size(message.raw.as_deref().map_or(bodies + message.subject.len(), <[u8]>::len))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn simple() -> Value {
        json!({
            "FromEmailAddress": "Shop <shop@example.com>",
            "Destination": { "ToAddresses": ["ann@example.com"] },
            "Content": { "Simple": { "Subject": { "Data": "Hi" }, "Body": { "Text": { "Data": "x" } } } },
        })
    }

    fn read(value: &Value) -> Result<Submission, Refusal> {
        single(value.to_string().as_bytes(), SystemTime::UNIX_EPOCH)
    }

    fn read_bulk(value: &Value) -> Result<Vec<Submission>, Refusal> {
        bulk(value.to_string().as_bytes(), SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn each_field_out_of_form_is_refused() {
        assert!(read(&simple()).is_ok());
        for (pointer, bad) in [
            ("/FromEmailAddress", json!("nobody")),
            ("/FromEmailAddress", Value::Null),
            ("/Destination/ToAddresses", json!([])),
            ("/Destination/ToAddresses/0", json!("ä@example.com")),
            ("/Destination/ToAddresses", json!(vec!["a@example.com"; 51])),
            ("/Content/Simple/Subject/Data", json!("two\nlines")),
            ("/Content/Simple/Subject", json!({})),
            ("/Content/Simple/Body", json!({})),
            ("/Content/Simple/Body/Text/Data", json!("x".repeat(check::MAX_MESSAGE + 1))),
            ("/Content/Simple", json!({ "Surprise": 1 })),
            ("/Content", json!({})),
        ] {
            let mut request = simple();
            *request.pointer_mut(pointer).unwrap() = bad;
            assert_eq!(read(&request).err().expect(pointer).code, "BadRequestException", "{pointer}");
        }
        assert!(single(b"{", SystemTime::UNIX_EPOCH).is_err());
    }

    #[test]
    fn a_stored_template_is_not_found() {
        let mut request = simple();
        request["Content"] = json!({ "Template": { "TemplateName": "welcome", "TemplateData": "{}" } });
        assert_eq!(read(&request).err().unwrap().code, "NotFoundException");
    }

    fn bulk_request() -> Value {
        json!({
            "FromEmailAddress": "shop@example.com",
            "DefaultContent": { "Template": {
                "TemplateContent": { "Subject": "{{subject}}", "Html": "{{{html}}}", "Text": "{{{text}}}" },
                "TemplateData": r#"{"subject":"default","html":"h","text":"t"}"#,
                "Headers": [{ "Name": "X-A", "Value": "1" }],
            } },
            "DefaultEmailTags": [{ "Name": "campaign_id", "Value": "c" }, { "Name": "k", "Value": "1" }],
            "BulkEmailEntries": [
                {
                    "Destination": { "ToAddresses": ["a@example.com"] },
                    "ReplacementEmailContent": { "ReplacementTemplate": {
                        "ReplacementTemplateData": r#"{"subject":"A & B","html":"<p>a</p>","text":"a"}"#,
                    } },
                    "ReplacementHeaders": [{ "Name": "x-a", "Value": "2" }],
                    "ReplacementTags": [{ "Name": "k", "Value": "2" }],
                },
                { "Destination": { "ToAddresses": ["b@example.com"] } },
            ],
        })
    }

    #[test]
    fn a_bulk_entry_replaces_data_headers_and_tags_and_else_has_the_defaults() {
        let submissions = read_bulk(&bulk_request()).unwrap();
        let (a, b) = (&submissions[0].message, &submissions[1].message);
        assert_eq!(
            (a.subject.as_str(), a.html.as_deref(), a.text.as_deref()),
            ("A & B", Some("<p>a</p>"), Some("a"))
        );
        assert_eq!((a.header("X-A"), a.tag("k"), a.tag("campaign_id")), (Some("2"), Some("2"), Some("c")));
        assert_eq!((b.subject.as_str(), b.header("X-A"), b.tag("k")), ("default", Some("1"), Some("1")));
    }

    #[test]
    fn one_malformed_entry_refuses_the_whole_bulk_call() {
        for (pointer, bad) in [
            ("/BulkEmailEntries/1/Destination/ToAddresses/0", json!("nobody")),
            ("/BulkEmailEntries/1/Destination", json!({})),
            ("/BulkEmailEntries/0/ReplacementTags/0/Value", json!("a b")),
            ("/BulkEmailEntries/0/ReplacementHeaders/0/Value", json!("a\r\nb: c")),
            (
                "/BulkEmailEntries/0/ReplacementEmailContent/ReplacementTemplate/ReplacementTemplateData",
                json!("not json"),
            ),
            ("/BulkEmailEntries", json!([])),
            ("/BulkEmailEntries", json!(vec![bulk_request()["BulkEmailEntries"][1].clone(); 51])),
        ] {
            let mut request = bulk_request();
            *request.pointer_mut(pointer).unwrap() = bad;
            assert!(read_bulk(&request).is_err(), "{pointer}");
        }
    }

    #[test]
    fn data_that_lacks_a_variable_fails_to_render_and_is_still_taken() {
        let mut request = bulk_request();
        *request.pointer_mut("/DefaultContent/Template/TemplateData").unwrap() = json!(r#"{"subject":"s"}"#);
        let failed: Vec<bool> = read_bulk(&request).unwrap().iter().map(|s| s.rendering_failed).collect();
        assert_eq!(failed, [false, true]);
    }
}
