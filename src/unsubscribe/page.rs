//! The pages that a person sees. They work without JavaScript, and show nothing from the request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::{AutoEscape, Environment, context};
use ring::digest;

use super::record::Standing;
use super::request::Wish;
use super::response::Response;
use crate::domain::address;
use crate::domain::mailbox::Mailbox;

/// The content of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page {
    /// Asks whether to unsubscribe.
    Ask(Names),
    /// Has unsubscribed, and this link may take it back: by one button, a minute after its last change.
    Unsubscribed(Names),
    /// Asked to subscribe again within a minute of the link's last change; nothing has changed.
    TooSoon(Names),
    /// Has unsubscribed, also by another link or elsewhere: this link does not take that back.
    UnsubscribedElsewhere(Names),
    /// Has subscribed again.
    SubscribedAgain(Names),
    /// The address is suppressed for a reason that a button cannot take back.
    Final(Names),
    /// The link is that of a test email, so there is nobody to unsubscribe.
    Test,
    /// The link has no valid token.
    BadLink,
    /// An unknown form.
    BadForm,
    /// The recipient was deleted.
    Gone,
    /// Another method than GET, HEAD and POST.
    WrongMethod,
    /// PostgreSQL failed.
    Unavailable,
}

/// The sender and the recipient, as a page may show them to anybody who has the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    sender: String,
    /// The first letter and the domain.
    address: String,
}

impl Page {
    /// The page for a request, by the state after it.
    pub fn of(wish: Wish, standing: &Standing) -> Page {
        let names = Names {
            sender: sender(&standing.from_address),
            address: address::masked(&address::canonical(&standing.email)),
        };
        match (wish, standing.reason.as_deref()) {
            (Wish::SubscribeAgain, Some("unsubscribe")) if standing.revocable => Page::TooSoon(names),
            // Subscribing again does not make an address accept emails.
            (Wish::SubscribeAgain, Some(_)) => Page::Final(names),
            (_, Some("unsubscribe")) if standing.revocable => Page::Unsubscribed(names),
            (_, Some("unsubscribe")) => Page::UnsubscribedElsewhere(names),
            (_, Some("complaint" | "manual")) => Page::Final(names),
            (Wish::SubscribeAgain, None) => Page::SubscribedAgain(names),
            (_, _) => Page::Ask(names),
        }
    }

    fn status(&self) -> u16 {
        match self {
            Page::Ask(_)
            | Page::Unsubscribed(_)
            | Page::TooSoon(_)
            | Page::UnsubscribedElsewhere(_)
            | Page::SubscribedAgain(_)
            | Page::Final(_)
            | Page::Test => 200,
            Page::BadLink | Page::BadForm => 400,
            Page::WrongMethod => 405,
            Page::Gone => 410,
            Page::Unavailable => 503,
        }
    }

    /// The name of its block in `page.html`, and the values that it shows.
    fn content(&self) -> (&'static str, Option<&Names>) {
        match self {
            Page::Ask(names) => ("ask", Some(names)),
            Page::Unsubscribed(names) => ("unsubscribed", Some(names)),
            Page::TooSoon(names) => ("too_soon", Some(names)),
            Page::UnsubscribedElsewhere(names) => ("unsubscribed_elsewhere", Some(names)),
            Page::SubscribedAgain(names) => ("subscribed_again", Some(names)),
            Page::Final(names) => ("final", Some(names)),
            Page::Test => ("test", None),
            Page::BadLink => ("bad_link", None),
            Page::BadForm => ("bad_form", None),
            Page::Gone => ("gone", None),
            Page::WrongMethod => ("wrong_method", None),
            Page::Unavailable => ("unavailable", None),
        }
    }
}

/// The display name of a mailbox, or its address; a text that is not a mailbox is shown unchanged.
fn sender(mailbox: &str) -> String {
    Mailbox::parse(mailbox).map_or_else(|_| mailbox.trim().to_owned(), |mailbox| mailbox.shown().to_owned())
}

/// The pages' template and style sheet, prepared once.
pub struct Pages {
    environment: Environment<'static>,
    style: &'static str,
    /// The hash by which the content security policy allows the style sheet and no other.
    style_hash: String,
}

impl Default for Pages {
    fn default() -> Pages {
        Pages::new()
    }
}

impl Pages {
    /// Compiles the template.
    pub fn new() -> Pages {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        environment.add_template("page.html", include_str!("page.html")).expect("page.html compiles");
        let style = include_str!("page.css");
        let hash = digest::digest(&digest::SHA256, style.as_bytes());
        Pages { environment, style, style_hash: format!("sha256-{}", STANDARD.encode(hash)) }
    }

    /// The page as a response; for HEAD, without its body.
    pub fn response(&self, page: &Page, head: bool) -> Response {
        let (kind, names) = page.content();
        let style = minijinja::Value::from_safe_string(self.style.to_owned());
        let body = if head {
            String::new()
        } else {
            let template = self.environment.get_template("page.html").expect("it is there");
            let (sender, address) = names.map(|names| (&names.sender, &names.address)).unzip();
            template
                .render(context! { kind, style, sender, address })
                .expect("page.html renders for every page")
        };
        let more: &[(&'static str, &str)] = match page {
            Page::WrongMethod => &[("allow", "GET, HEAD, POST")],
            Page::Unavailable => &[("retry-after", "30")],
            _ => &[],
        };
        Response::html(page.status(), body, &self.style_hash, more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(from_address: &str, reason: Option<&str>) -> Standing {
        Standing {
            email: "ada.lovelace@example.com".to_owned(),
            from_address: from_address.to_owned(),
            reason: reason.map(str::to_owned),
            changed: false,
            revocable: true,
        }
    }

    #[test]
    fn a_page_shows_who_writes_and_never_the_whole_address() {
        for (mailbox, name) in [
            ("News <news@example.com>", "News"),
            ("\"Shop, daily\" <news@example.com>", "Shop, daily"),
            ("<news@example.com>", "news@example.com"),
            ("news@example.com", "news@example.com"),
        ] {
            assert_eq!(sender(mailbox), name);
        }
        let page = Page::of(Wish::Look, &standing("A & <b>B</b> <a@example.com>", None));
        let body = Pages::new().response(&page, false).body;
        assert!(body.contains("A &amp; &lt;b&gt;B&lt;") && !body.contains("<b>"), "{body}");
        assert!(body.contains("a…@example.com") && !body.contains("lovelace"), "{body}");
    }

    #[test]
    fn there_is_a_way_back_from_ones_own_word_only() {
        let page = |wish, reason| Page::of(wish, &standing("n@example.com", reason)).content().0;
        assert_eq!(page(Wish::Look, None), "ask");
        assert_eq!(page(Wish::Look, Some("bounce")), "ask");
        assert_eq!(page(Wish::Look, Some("unsubscribe")), "unsubscribed");
        for wish in [Wish::Look, Wish::Unsubscribe, Wish::SubscribeAgain] {
            assert_eq!(page(wish, Some("complaint")), "final");
            assert_eq!(page(wish, Some("manual")), "final");
        }
        assert_eq!(page(Wish::SubscribeAgain, Some("bounce")), "final");
        assert_eq!(page(Wish::SubscribeAgain, None), "subscribed_again");
        assert_eq!(page(Wish::SubscribeAgain, Some("unsubscribe")), "too_soon");

        let elsewhere = Standing { revocable: false, ..standing("n@example.com", Some("unsubscribe")) };
        let page = |wish| Page::of(wish, &elsewhere).content().0;
        assert_eq!(page(Wish::Look), "unsubscribed_elsewhere");
        assert_eq!(page(Wish::Unsubscribe), "unsubscribed_elsewhere");
        assert_eq!(page(Wish::SubscribeAgain), "final");
    }

    #[test]
    fn every_page_forbids_what_it_does_not_need_and_has_no_script() {
        let names = Names { sender: "News".to_owned(), address: "a…@example.com".to_owned() };
        for (page, status) in [
            (Page::Ask(names.clone()), 200),
            (Page::Unsubscribed(names.clone()), 200),
            (Page::TooSoon(names.clone()), 200),
            (Page::UnsubscribedElsewhere(names.clone()), 200),
            (Page::SubscribedAgain(names.clone()), 200),
            (Page::Final(names), 200),
            (Page::Test, 200),
            (Page::BadLink, 400),
            (Page::BadForm, 400),
            (Page::Gone, 410),
            (Page::WrongMethod, 405),
            (Page::Unavailable, 503),
        ] {
            let pages = Pages::new();
            let response = pages.response(&page, false);
            assert_eq!(response.status_code, status);
            let policy = &response.headers["content-security-policy"];
            let (own_style, rest) = policy
                .strip_prefix("default-src 'none'; style-src 'sha256-")
                .unwrap()
                .split_once("';")
                .unwrap();
            assert_eq!(own_style.len(), 44, "{policy}");
            let expected = " img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
            assert_eq!(rest, expected);
            assert_eq!(response.headers["x-content-type-options"], "nosniff");
            assert_eq!(response.headers["cache-control"], "no-store");
            assert_eq!(response.headers["referrer-policy"], "no-referrer");
            let body = response.body;
            assert_eq!(body.matches("<h1>").count(), 1, "{body}");
            assert!(
                !body.contains("<script") && !body.contains("http") && !body.contains("style="),
                "{body}"
            );
            assert!(body.contains(&format!("<style>{}</style>", include_str!("page.css"))));
            let without = pages.response(&page, true);
            assert!(without.body.is_empty() && without.headers == response.headers);
        }
    }
}
