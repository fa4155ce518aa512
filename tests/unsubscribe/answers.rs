//! The answers to all kinds of requests.

use super::*;

#[test]
fn to_look_changes_nothing() {
    let mut world = World::new();
    let mut function = function(&world);
    let id = recipient(&mut world, "ada@example.com");
    let ask_title = (200, "Do you want to unsubscribe?".to_owned());
    let mut scanner = request("get", &token(id));
    scanner["rawQueryString"] = json!("List-Unsubscribe=One-Click&utm_source=scan");
    scanner["body"] = json!("List-Unsubscribe=One-Click");
    for event in [request("get", &token(id)), scanner] {
        assert_eq!(answer(&mut function, &event), ask_title);
    }
    let mut head = request("get", &token(id));
    head["requestContext"]["http"]["method"] = json!("HEAD");
    assert_eq!(answer(&mut function, &head), (200, String::new()));
    assert_eq!(suppressions(&mut world), []);
    assert_eq!((mark(&mut world, id), actions(&mut world, id)), ((false, 0), vec![]));
}

#[test]
fn a_link_that_is_not_ours_is_told_so_and_nothing_else() {
    let mut world = World::new();
    let mut function = function(&world);
    let id = recipient(&mut world, "ada@example.com");
    let ours = token(id);
    let other_key = Keys::parse("another-key-that-nobody-here-has-0123456789").unwrap();
    let ids = RecipientIds { recipient_id: id, organization_id: ORGANIZATION };
    let cut = &ours[..ours.len() - 1];
    for forged in [other_key.sign(ids).as_str(), cut, "", "..%2f..", "<script>alert(1)</script>"] {
        for kind in ["get", "one-click", "subscribe-again"] {
            let response = ask(&mut function, &request(kind, forged));
            assert_eq!(response["statusCode"], 400, "{kind} {forged}");
            let body = response["body"].as_str().unwrap();
            assert!(body.contains("This link is not complete") && !body.contains("script"), "{body}");
        }
    }
    assert_eq!(suppressions(&mut world), []);
    // A correctly signed token with another organization's id is not this recipient's.
    let elsewhere = RecipientIds { organization_id: Uuid::from_u128(0x0b), ..ids };
    let elsewhere = Keys::parse(UNSUBSCRIBE_SECRET).unwrap().sign(elsewhere);
    for kind in ["get", "one-click", "subscribe-again"] {
        assert_eq!(answer(&mut function, &request(kind, &elsewhere)).0, 410, "{kind}");
    }
    assert_eq!(suppressions(&mut world), []);
}

#[test]
fn other_forms_and_methods_are_refused() {
    let mut world = World::new();
    let mut function = function(&world);
    let id = recipient(&mut world, "ada@example.com");
    for body in ["", "List-Unsubscribe=", "unsubscribe=1", "{\"List-Unsubscribe\": \"One-Click\"}"] {
        assert_eq!(answer(&mut function, &post(&token(id), body)).0, 400, "{body}");
    }
    let mut put = post(&token(id), "List-Unsubscribe=One-Click");
    put["requestContext"]["http"]["method"] = json!("PUT");
    let response = ask(&mut function, &put);
    assert_eq!(
        (&response["statusCode"], &response["headers"]["allow"]),
        (&json!(405), &json!("GET, HEAD, POST"))
    );
    assert_eq!(suppressions(&mut world), []);
}

#[test]
fn one_click_needs_no_cookie_and_is_sent_nowhere_else() {
    let mut world = World::new();
    let mut function = function(&world);
    let id = recipient(&mut world, "ada@example.com");
    let response = ask(&mut function, &request("one-click", &token(id)));
    assert_eq!((&response["statusCode"], &response["isBase64Encoded"]), (&json!(200), &json!(false)));
    let headers = response["headers"].as_object().unwrap();
    assert!(!headers.contains_key("set-cookie") && !headers.contains_key("location"), "{headers:?}");
    assert!(response.get("cookies").is_none());
}

#[test]
fn a_recipient_that_is_gone_has_a_page_of_its_own() {
    let world = World::new();
    let mut function = function(&world);
    for kind in ["get", "one-click"] {
        let gone = answer(&mut function, &request(kind, &token(Uuid::new_v4())));
        assert_eq!(gone, (410, "This link is out of use".to_owned()));
    }
}

#[test]
fn without_postgresql_the_answer_is_to_try_again_and_then_it_works() {
    let mut world = World::new();
    let id = recipient(&mut world, "ada@example.com");
    // Nothing listens on this port.
    let mut away = function_with(&world, &[("DATABASE_URL", "postgres://nobody:secret@127.0.0.1:1/none")]);
    let event = request("one-click", &token(id));
    let response = away.invoke(&event, Duration::from_secs(3)).unwrap();
    assert_eq!((&response["statusCode"], &response["headers"]["retry-after"]), (&json!(503), &json!("30")));
    assert!(response["body"].as_str().unwrap().contains("Please try again in a minute"));
    assert!(!away.logs().join("").contains("secret"));
    assert_eq!(suppressions(&mut world), []);
    assert_eq!(answer(&mut function(&world), &event).0, 200);
}

#[test]
fn an_event_of_another_form_fails_the_invocation() {
    let world = World::new();
    let mut function = function(&world);
    assert!(
        support::failure(&mut function, &json!({"Records": []}))
            .starts_with("InvalidEvent: the event is not")
    );
}

#[test]
fn without_a_key_it_does_not_start_and_a_short_one_is_not_shown() {
    let world = World::new();
    for (secret, told) in
        [("", "UNSUBSCRIBE_SECRET is not set"), ("hunter2", "UNSUBSCRIBE_SECRET is of another form")]
    {
        let mut function = function_with(&world, &[("UNSUBSCRIBE_SECRET", secret)]);
        while function.is_running() {
            std::thread::yield_now();
        }
        // The last line may come a moment after the end of the process.
        let mut logs = function.logs();
        while logs.is_empty() {
            std::thread::yield_now();
            logs = function.logs();
        }
        assert!(logs[0].starts_with(told) && !logs[0].contains("hunter2"), "{logs:?}");
    }
}
