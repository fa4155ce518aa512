//! A recipient's unsubscribe link, for the email and its headers.

use super::link_settings::UnsubscribeSettings;
use super::token::{Keys, RecipientIds};

/// Makes links. It is prepared once, so that a link costs one HMAC.
#[derive(Clone, Debug)]
pub struct Links {
    base: String,
    keys: Keys,
    mailto: Option<String>,
}

impl Links {
    /// Prepares links from the settings of the environment.
    ///
    /// # Errors
    /// The variable that is not set, as the reason for which a campaign halts.
    pub fn new(settings: &UnsubscribeSettings) -> Result<Links, String> {
        Links::with_keys(settings, settings.keys.clone())
    }

    /// The same with keys that were read elsewhere.
    ///
    /// # Errors
    /// Those of [`Links::new`].
    pub fn with_keys(settings: &UnsubscribeSettings, keys: Option<Keys>) -> Result<Links, String> {
        let missing = |name: &str| {
            format!(
                "{name} is not set: a campaign that is not transactional needs a link to unsubscribe \
                 (set UNSUBSCRIBE_URL and UNSUBSCRIBE_SECRET, or the campaign's column transactional)"
            )
        };
        Ok(Links {
            base: settings.url.clone().ok_or_else(|| missing("UNSUBSCRIBE_URL"))?,
            keys: keys.ok_or_else(|| missing("UNSUBSCRIBE_SECRET"))?,
            mailto: settings.mailto.clone(),
        })
    }

    /// The link of a recipient's email.
    pub fn of(&self, ids: RecipientIds) -> Link<'_> {
        let token = self.keys.sign(ids);
        let start = self.base.len() + 1;
        Link { url: format!("{}/{token}", self.base), start, mailto: self.mailto.as_deref() }
    }
}

/// One recipient's link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link<'a> {
    /// The URL of the page, to which one click posts.
    pub url: String,
    /// The start of the token in it.
    start: usize,
    mailto: Option<&'a str>,
}

impl Link<'_> {
    /// The value of `List-Unsubscribe` (RFC 2369, 3.2 and RFC 8058, 3.1): the HTTPS link, then the mailbox,
    /// if there is one. The subject of emails to the mailbox has the token, so that it identifies the sender.
    pub fn header(&self) -> String {
        match self.mailto {
            None => format!("<{}>", self.url),
            Some(mailbox) => {
                let token = &self.url[self.start..];
                format!("<{}>, <mailto:{}?subject=unsubscribe%20{token}>", self.url, escaped(mailbox))
            }
        }
    }
}

/// Characters that an address may have and the path of a `mailto` URL may not (RFC 6068, 2).
fn escaped(mailbox: &str) -> String {
    use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
    const RESERVED: &AsciiSet = &CONTROLS
        .add(b'%')
        .add(b'#')
        .add(b'?')
        .add(b'/')
        .add(b'&')
        .add(b'^')
        .add(b'`')
        .add(b'{')
        .add(b'|')
        .add(b'}');
    utf8_percent_encode(mailbox, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn links(mailto: Option<&str>) -> Links {
        let settings = UnsubscribeSettings {
            url: Some("https://example.com/u".to_owned()),
            keys: Keys::parse("a-key-of-thirty-two-characters-or-more"),
            mailto: mailto.map(str::to_owned),
            secret_arn: None,
        };
        Links::new(&settings).unwrap()
    }

    fn ids() -> RecipientIds {
        RecipientIds { recipient_id: Uuid::from_u128(1), organization_id: Uuid::from_u128(2) }
    }

    #[test]
    fn the_mailbox_comes_after_the_link_and_its_subject_tells_who_wrote() {
        let alone = links(None);
        let link = alone.of(ids());
        assert_eq!(link.header(), format!("<{}>", link.url));
        let token = link.url.strip_prefix("https://example.com/u/").unwrap();
        let both = links(Some("off&on%@example.com"));
        assert_eq!(
            both.of(ids()).header(),
            format!("<{}>, <mailto:off%26on%25@example.com?subject=unsubscribe%20{token}>", link.url)
        );
    }

    proptest! {
        /// For all valid settings, a mail program finds the link and the mailbox, and the token in each.
        #[test]
        fn any_settings_that_are_taken_make_a_header_of_urls(
            url in "https://[a-zA-Z0-9._~:/%?#<>, -]{1,12}",
            mailto in "[a-z0-9!#$%&'*+/=?^_`{|}~.<>,-]{1,8}@[a-z]{1,10}[.][a-z<>,]{1,5}",
        ) {
            let read = |mailto: Option<&str>| UnsubscribeSettings::read(&|name| match name {
                "UNSUBSCRIBE_URL" => Some(url.clone()),
                "UNSUBSCRIBE_SECRET" => Some("a-key-of-thirty-two-characters-or-more".to_owned()),
                _ => mailto.map(str::to_owned),
            });
            // If only the mailbox is refused, only the link is checked.
            if let Ok(settings) = read(Some(&mailto)).or_else(|_| read(None)) {
                let (has_mailbox, links) = (settings.mailto.is_some(), Links::new(&settings).unwrap());
                let link = links.of(ids());
                let token = links.keys.sign(ids());
                let header = link.header();
                let parts: Vec<&str> = header.split(", ").collect();
                prop_assert_eq!(parts.len(), 1 + usize::from(has_mailbox));
                for part in parts {
                    let url = part.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap();
                    prop_assert!(url.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>,".contains(&byte)), "{}", url);
                    prop_assert!(url.ends_with(&token));
                }
            }
        }
    }

    #[test]
    fn what_is_not_set_is_named() {
        let mut settings = UnsubscribeSettings::default();
        assert!(Links::new(&settings).unwrap_err().starts_with("UNSUBSCRIBE_URL is not set: "));
        settings.url = Some("https://example.com".to_owned());
        assert!(Links::new(&settings).unwrap_err().starts_with("UNSUBSCRIBE_SECRET is not set: "));
    }
}
