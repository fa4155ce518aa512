//! The addresses in a page beyond those of links, and what they tell. Pure.

use url::Url;

use crate::message::html::Attributes;

/// Hosts of fonts. A program that does not load them shows another font.
const FONTS: [&str; 3] = ["use.typekit.net", "use.fontawesome.com", "cloud.typography.com"];

/// The addresses of an element's pictures beside that of `img src`: `srcset`, `background`, `poster`, and `url(…)` in
/// its style.
pub fn of_pictures(name: &str, attributes: &Attributes) -> Vec<String> {
    let mut found = Vec::new();
    if matches!(name, "img" | "source") {
        found.extend(attributes.get("srcset").into_iter().flat_map(candidates));
    }
    for attribute in ["background", "poster"] {
        found.extend(attributes.get(attribute).map(str::to_owned));
    }
    found.extend(attributes.get("style").into_iter().flat_map(in_style));
    found
}

/// The addresses of `srcset`: each is followed by white space and a descriptor, or by a comma.
fn candidates(srcset: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = srcset.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
    while !rest.is_empty() {
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (address, after) = rest.split_at(end);
        found.push(address.trim_end_matches(',').to_owned());
        let descriptor =
            if address.ends_with(',') { 0 } else { after.find(',').map_or(after.len(), |at| at + 1) };
        rest = after[descriptor..].trim_start_matches(|c: char| c.is_whitespace() || c == ',');
    }
    found
}

fn in_style(style: &str) -> Vec<String> {
    let parts = style.split("url(").skip(1);
    let address = |part: &str| {
        let part = part.trim_start();
        match part.chars().next() {
            Some(quote @ ('"' | '\'')) => part[1..].split(quote).next().unwrap_or_default().to_owned(),
            _ => part.split(')').next().unwrap_or_default().trim().to_owned(),
        }
    };
    parts.map(address).filter(|address| !address.starts_with('#')).collect()
}

/// Returns true if an address has neither a scheme nor a host.
pub fn is_relative(address: &str) -> bool {
    let address = address.trim();
    !address.is_empty()
        && !address.starts_with('#')
        && Url::parse(address) == Err(url::ParseError::RelativeUrlWithoutBase)
}

/// Returns true if an address of the web is not encrypted.
pub fn is_insecure(address: &str) -> bool {
    address.trim().get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"))
}

/// Returns true if a linked style sheet only names fonts.
pub fn is_web_font(address: &str) -> bool {
    let host = host(address).unwrap_or_default();
    host.starts_with("fonts.") || FONTS.contains(&host.as_str())
}

/// The address in a link's text, if the text is an address of the web whose host is another one than the link's.
pub fn other_host<'a>(text: &'a str, link: &str) -> Option<&'a str> {
    let (said, target) = (host(text.trim_end_matches(['.', '/', '›', '»', '→']))?, host(link)?);
    let within = |one: &str, other: &str| one == other || one.ends_with(&format!(".{other}"));
    (!within(&said, &target) && !within(&target, &said)).then_some(text)
}

/// The host of an address of the web without `www.`; `None` for other texts.
fn host(text: &str) -> Option<String> {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    let address = match () {
        () if text.contains(char::is_whitespace) => return None,
        () if lower.starts_with("http://") || lower.starts_with("https://") => text.to_owned(),
        () if lower.starts_with("//") => format!("https:{text}"),
        () if lower.starts_with("www.") => format!("https://{text}"),
        () => return None,
    };
    let url = Url::parse(&address).ok()?;
    let host = url.host_str()?;
    Some(host.strip_prefix("www.").unwrap_or(host).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_pictures_are_found_wherever_they_stand() {
        assert_eq!(
            candidates("a.png, https://example.com/b,c.png 2x,\n//cdn.example.com/d.png 300w"),
            ["a.png", "https://example.com/b,c.png", "//cdn.example.com/d.png"]
        );
        assert_eq!(candidates(" ,"), [""; 0]);
        assert_eq!(
            in_style(
                "background: url(a.png) top, URL; mask: url( 'b.png' ); list-style:url(\"c.png\"); fill: url(#d)"
            ),
            ["a.png", "b.png", "c.png"]
        );
        assert_eq!(in_style("color: red"), [""; 0]);
        assert_eq!(in_style("background:url("), [""]);
    }

    #[test]
    fn a_text_that_is_an_address_is_compared_with_the_target() {
        for (text, link) in [
            ("https://bank.example", "https://evil.example/x"),
            ("www.bank.example/login", "http://bank.example.evil.example"),
        ] {
            assert_eq!(other_host(text, link), Some(text), "{link}");
        }
        for (text, link) in [
            ("www.shop.example", "https://shop.example/a?b"),
            ("https://shop.example/", "https://click.shop.example/x"),
            ("https://de.shop.example/", "https://shop.example/x"),
            ("Node.js", "https://nodejs.example"),
            ("see www.bank.example", "https://evil.example"),
            ("www.shop.example", "mailto:ada@example.com"),
            ("HTTPS://WWW.SHOP.EXAMPLE", "https://shop.example"),
        ] {
            assert_eq!(other_host(text, link), None, "{text}");
        }
    }

    #[test]
    fn an_address_of_fonts_or_without_encryption_is_known() {
        assert!(
            is_web_font("https://fonts.googleapis.com/css?family=Ubuntu")
                && is_web_font("//use.typekit.net/a.css")
        );
        assert!(!is_web_font("https://example.com/fonts.css"));
        assert!(
            is_insecure("HTTP://example.com") && !is_insecure("https://example.com") && !is_insecure("é")
        );
        assert!(is_relative("a.png") && !is_relative("#a") && !is_relative("mailto:a@b.example"));
    }
}
