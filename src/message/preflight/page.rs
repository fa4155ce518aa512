//! Checks the HTML part of a message. Pure.

use std::collections::{BTreeSet, HashSet};

use super::Finding;
use super::addresses;
use super::link;
use super::placeholder::placeholders;
use super::style::Styles;
use crate::message::html::{Attributes, Event, Look, walk, words};
use crate::message::render::footer;

/// With fewer words around images, a message looks like an advertisement in a picture, which filters
/// distrust.
const WORDS_WANTED: usize = 20;
/// With fewer characters beside the subject, the preheader looks forgotten.
const PREVIEW_WANTED: usize = 30;
/// The approximate number of characters that mail programs show beside the subject.
const PREVIEW_SHOWN: usize = 140;
/// The most bytes of an HTML part that Gmail shows.
const CLIPPING: usize = 102 * 1024;
/// The content of an HTML part.
#[derive(Default)]
pub struct Page {
    links: Vec<Link>,
    images: Vec<String>,
    /// Pictures of one pixel.
    pixels: Vec<String>,
    /// The elements that a link within the email can lead to.
    targets: HashSet<String>,
    without_alt: usize,
    shown: String,
    /// The footer's text.
    footer: String,
    /// The preheader: the text of a hidden element at the beginning, which is shown in the list of messages.
    preheader: Option<String>,
    styles: Styles,
    /// Elements that mail programs do not run or show, for example `script`, `form` and `iframe`, each once.
    unsupported: BTreeSet<&'static str>,
    /// A `base` element completes relative links in programs that support it.
    has_base: bool,
}

/// A link, and what is seen of it.
#[derive(Default)]
struct Link {
    address: String,
    /// Its text, and the alternative texts of its images.
    text: String,
    /// It is hidden, or has an image without an alternative text, which is a finding of its own.
    may_be_empty: bool,
}

impl Page {
    /// Reads an HTML part.
    pub fn read(html: &str) -> Page {
        let mut page = Page::default();
        let mut seen_anything = false;
        // The numbers of open elements whose content is not text, and of those of the footer.
        let (mut unread, mut in_style, mut in_footer) = (0, false, 0);
        let mut in_link = false;
        walk(html, |event| match event {
            Event::Start("div", attributes, _)
                if in_footer > 0 || attributes.get("style") == Some(footer::STYLE) =>
            {
                in_footer += 1;
            }
            Event::End("div", ..) if in_footer > 0 => in_footer -= 1,
            Event::Text(text, _) if in_footer > 0 => page.footer.push_str(text),
            // The footer is not written by the campaign's author.
            _ if in_footer > 0 => {}
            Event::Text(text, _) if in_style => page.styles.add_sheet(text),
            Event::Text(text, look) if look.is_seen() => {
                seen_anything |= !words(text).is_empty();
                page.shown.push_str(text);
                page.shown.push(' ');
                if let Some(link) = page.links.last_mut().filter(|_| in_link) {
                    link.text.push_str(text);
                }
            }
            Event::Text(text, _) if unread == 0 && !seen_anything => {
                page.preheader.get_or_insert_default().push_str(text);
            }
            Event::Text(..) => {}
            Event::End(name, ..) => {
                unread -= usize::from(is_unread(name));
                in_style &= name != "style";
                in_link &= name != "a";
            }
            Event::Start(name, attributes, look) => {
                unread += usize::from(is_unread(name));
                in_style |= name == "style";
                page.styles.add_element(name, attributes);
                page.unsupported.extend(unsupported(name, attributes));
                page.targets.extend(
                    ["id", "name"].iter().filter_map(|target| attributes.get(target)).map(str::to_owned),
                );
                page.images.extend(addresses::of_pictures(name, attributes));
                match name {
                    "a" | "area" => {
                        in_link = name == "a" && attributes.get("href").is_some();
                        page.links.extend(
                            attributes.get("href").map(|href| Link::new(name, href, attributes, look)),
                        );
                    }
                    "base" => page.has_base |= attributes.get("href").is_some(),
                    "img" => page.add_image(attributes, in_link),
                    _ => {}
                }
            }
        });
        page.shown = words(&page.shown);
        page.preheader = page.preheader.map(|text| words(&text)).filter(|text| !text.is_empty());
        page
    }

    /// A picture of one pixel counts who opens the email, and shows nothing.
    fn add_image(&mut self, attributes: &Attributes, in_link: bool) {
        let is_pixel = ["width", "height"]
            .iter()
            .all(|size| matches!(attributes.get(size), Some("0" | "1" | "0px" | "1px")));
        let address = attributes.get("src");
        if is_pixel {
            self.pixels.extend(address.map(str::to_owned));
            return;
        }
        self.images.extend(address.map(str::to_owned));
        let alt = attributes.get("alt");
        self.without_alt += usize::from(alt.is_none());
        if let Some(link) = self.links.last_mut().filter(|_| in_link) {
            link.text.push_str(alt.unwrap_or_default());
            link.may_be_empty |= alt.is_none();
        }
    }

    /// Returns true if it shows nothing of the campaign.
    pub fn is_empty(&self) -> bool {
        self.shown.is_empty() && self.images.is_empty()
    }

    /// Adds the findings on a part of this size.
    pub fn findings(&self, bytes: usize, findings: &mut Vec<Finding>) {
        if bytes > CLIPPING {
            let text = format!("the HTML is larger than the {CLIPPING} bytes at which Gmail clips a message");
            findings.push(Finding::warning("clipped", text));
        }
        self.preview(findings);
        self.addresses(findings);
        if self.has_base {
            let text = "it has a <base> element, which most mail programs do not heed: write whole addresses";
            findings.push(Finding::warning("base", text));
        }
        for what in &self.unsupported {
            findings.push(Finding::warning(what, words_for(what)));
        }
        if self.without_alt > 0 {
            let text = "images have no alt text: many clients show that first, screen readers nothing else";
            findings.push(Finding::warning("image_alt", text));
        }
        let count = self.shown.split(' ').filter(|word| !word.is_empty()).count();
        if !self.images.is_empty() && count < WORDS_WANTED {
            let text =
                "it is mostly images: spam filters mistrust that, and clients that load none show little";
            findings.push(Finding::warning("mostly_images", text));
        }
        if let Some(selector) = self.styles.not_inlined() {
            let text = format!(
                "the rule {selector:?} and perhaps others stand in <style> only, which some mail programs drop: inline them in the template"
            );
            findings.push(Finding::warning("css_not_inline", text));
        }
    }

    /// The findings on links and images.
    fn addresses(&self, findings: &mut Vec<Finding>) {
        // A base, which completes relative addresses where it is heeded, and placeholders are findings of their own.
        let is_known = |address: &str| {
            self.has_base && addresses::is_relative(address) || !placeholders(address).is_empty()
        };
        for link in self.links.iter().filter(|link| !is_known(&link.address)) {
            let finding = link::finding("link", &link.address);
            if finding.is_none() {
                findings.extend(link.finding(&self.targets));
            }
            findings.extend(finding);
        }
        let pictures = self.images.iter().chain(&self.pixels);
        for address in pictures.clone().filter(|address| !is_known(address)) {
            findings.extend(link::finding("image", address));
        }
        let addresses = self.links.iter().map(|link| &link.address).chain(pictures);
        let mut insecure =
            addresses.filter(|address| addresses::is_insecure(address) && link::examine(address).is_none());
        if let Some(first) = insecure.next() {
            let text = format!(
                "{} {} http, of which browsers and mail programs warn: write https if the server has it",
                link::shown(first),
                if insecure.next().is_some() { "and others use" } else { "uses" }
            );
            findings.push(Finding::warning("http", text));
        }
    }

    fn preview(&self, findings: &mut Vec<Finding>) {
        if let Some(preheader) = &self.preheader {
            if preheader.chars().count() > PREVIEW_SHOWN {
                let text =
                    format!("the preheader has more than the {PREVIEW_SHOWN} characters that clients show");
                findings.push(Finding::warning("preheader_long", text));
            }
        } else if self.shown.chars().count() + self.footer.trim().chars().count() < PREVIEW_WANTED {
            let text = "beside the subject, clients will show next to nothing: there is no preheader and little text";
            findings.push(Finding::warning("preheader_missing", text));
        }
    }
}

impl Link {
    fn new(name: &str, href: &str, attributes: &Attributes, look: Look) -> Link {
        // An area has no content but its alternative text; without one its shape is pressed all the same.
        let text =
            ["aria-label", "title", "alt"].iter().find_map(|text| attributes.get(text)).unwrap_or_default();
        Link {
            address: href.to_owned(),
            text: text.to_owned(),
            may_be_empty: name == "area" || !look.is_seen(),
        }
    }

    /// A finding on a link whose address is right.
    fn finding(&self, targets: &HashSet<String>) -> Option<Finding> {
        let shown = link::shown(&self.address);
        let text = words(&self.text);
        if let Some(target) = self.address.trim().strip_prefix('#') {
            // To a browser, #top is the beginning of any page.
            let exists = target.eq_ignore_ascii_case("top") || targets.contains(target);
            let text = format!("the link {shown} leads to a place that the email does not have");
            return (!exists).then(|| Finding::warning("link_doubtful", text));
        }
        if text.is_empty() && !self.may_be_empty {
            let text = format!(
                "the link {shown} has no text, and no image with an alt text: many people cannot find it"
            );
            return Some(Finding::warning("link_empty", text));
        }
        let named = addresses::other_host(&text, &self.address)?;
        let text = format!(
            "the link {shown} leads elsewhere than its text says ({named}), which filters take for phishing"
        );
        Some(Finding::warning("link_text", text))
    }
}

/// The kind of finding for an element that mail programs do not run or show.
fn unsupported(name: &str, attributes: &Attributes) -> Vec<&'static str> {
    let mut kinds = Vec::new();
    // Data for mail programs, for example Gmail's annotations, are no program.
    let is_data =
        attributes.get("type").is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/ld+json"));
    if name == "script" && !is_data || attributes.names().any(|name| name.starts_with("on")) {
        kinds.push("script");
    }
    match name {
        "form" | "input" | "button" | "select" | "textarea" => kinds.push("form"),
        "iframe" | "object" | "embed" | "applet" | "video" | "audio" => kinds.push("embedded"),
        "link"
            if attributes.get("rel").is_some_and(|rel| rel.eq_ignore_ascii_case("stylesheet"))
                && !attributes.get("href").is_some_and(addresses::is_web_font) =>
        {
            kinds.push("stylesheet_linked");
        }
        _ => {}
    }
    kinds
}

fn words_for(kind: &str) -> &'static str {
    match kind {
        "script" => "it has scripts, which no mail program runs and which filters mistrust",
        "form" => {
            "it has a form or a <button>, which most mail programs do not show or warn of: link to a page that has it"
        }
        "stylesheet_linked" => {
            "it links a style sheet, which no mail program loads: write the styles into the elements"
        }
        _ => {
            "it embeds something (iframe, object, video and the like), which most mail programs do not show: link to it"
        }
    }
}

fn is_unread(name: &str) -> bool {
    matches!(name, "head" | "title" | "style" | "script" | "template" | "noscript" | "textarea" | "object")
}
