//! Checks the form of an email's links. Pure: nothing is fetched.

use url::Url;

use super::Finding;

/// The number of characters of a link that are shown.
const SHOWN: usize = 60;

/// What is wrong with a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It cannot be parsed; no mail program can follow it.
    Broken(&'static str),
    /// Some or all mail programs do not follow it.
    Doubtful(&'static str),
}

/// The message about a link or an image (`what`), in the same words wherever it is found. Only the beginning
/// of a long link is shown, so that links that differ only by their recipients' data are counted as one.
pub fn finding(what: &str, link: &str) -> Option<Finding> {
    let shown = shown(link);
    Some(match examine(link)? {
        Problem::Broken(problem) => Finding::error("link_broken", format!("the {what} {shown} {problem}")),
        Problem::Doubtful(problem) => {
            Finding::warning("link_doubtful", format!("the {what} {shown} {problem}"))
        }
    })
}

/// The beginning of a link, in quotes.
pub fn shown(link: &str) -> String {
    let mut shown: String = link.trim().chars().take(SHOWN).collect();
    if link.trim().chars().count() > SHOWN {
        shown.push('…');
    }
    format!("{shown:?}")
}

/// Examines the `href` of a link or the `src` of an image, with all variables filled in.
pub fn examine(link: &str) -> Option<Problem> {
    let link = link.trim();
    if link.is_empty() || link == "#" {
        return Some(Problem::Doubtful("leads nowhere"));
    }
    // A link within the email.
    if link.starts_with('#') {
        return None;
    }
    match Url::parse(link) {
        Ok(url) => of_scheme(&url, link),
        Err(url::ParseError::RelativeUrlWithoutBase) if link.starts_with("//") => {
            Some(Problem::Doubtful("has no scheme such as https:"))
        }
        Err(url::ParseError::RelativeUrlWithoutBase) => {
            Some(Problem::Doubtful("is relative, and an email has no page that it could be relative to"))
        }
        Err(_) => Some(Problem::Broken("is not a valid address of the web")),
    }
}

fn of_scheme(url: &Url, link: &str) -> Option<Problem> {
    match url.scheme() {
        // A URL parser corrects `http:/x` and spaces; mail programs may not.
        "http" | "https" if !link.contains("://") => Some(Problem::Broken("lacks // after its scheme")),
        "http" | "https" if link.contains(char::is_whitespace) => {
            Some(Problem::Broken("has white space in it"))
        }
        "http" | "https" => {
            let host = url.host_str().unwrap_or_default();
            let public = host.contains('.') || host.contains(':');
            (!public).then_some(Problem::Doubtful("leads to a host that only a local network knows"))
        }
        "mailto" if !url.path().contains('@') => Some(Problem::Broken("has no address after mailto:")),
        "tel" | "sms" if !url.path().contains(|c: char| c.is_ascii_digit()) => {
            Some(Problem::Doubtful("has no number"))
        }
        // A letter is that of a drive.
        scheme if scheme == "file" || scheme.len() == 1 => {
            Some(Problem::Broken("is a file on the author's own computer"))
        }
        "data" => Some(Problem::Doubtful("holds its data itself, which Gmail and Outlook do not show")),
        "javascript" | "vbscript" => Some(Problem::Broken("is a script, which no mail program runs")),
        "mailto" | "tel" | "sms" | "cid" => None,
        _ => Some(Problem::Doubtful("has a scheme that mail clients may not follow")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_lead_somewhere_are_let_pass() {
        for link in [
            "https://example.com/a?b=1&c=%20#d",
            "http://münchen.example:8080/ä",
            " https://example.com ",
            "mailto:ada@example.com?subject=Hi",
            "tel:+47123",
            "#top",
            "https://[2001:db8::1]/",
        ] {
            assert_eq!(examine(link), None, "{link}");
        }
    }

    #[test]
    fn links_that_lead_nowhere_are_told_apart_from_doubtful_ones() {
        for link in [
            "http://",
            "https://exa mple.com/",
            "https:example.com",
            "http://[::1",
            "mailto:",
            "https://a.example:port/",
            "javascript:x()",
            " JavaScript:x()",
            "java\nscript:x()",
            "file:///C:/Users/ada/offers.png",
            "C:\\Users\\ada\\offers.png",
        ] {
            assert!(matches!(examine(link), Some(Problem::Broken(_))), "{link}");
        }
        for link in [
            "",
            "#",
            "/offers",
            "offers.html",
            "//example.com/x",
            "https://intranet/x",
            "data:image/png;base64,AA",
            "myapp://open",
            "tel:",
        ] {
            assert!(matches!(examine(link), Some(Problem::Doubtful(_))), "{link}");
        }
    }
}
