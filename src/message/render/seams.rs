//! Finds the footer's place and the text part of a recipient's page without reading the stretches that all
//! recipients share again. The result is the same as that of reading the whole page. Pure; the time is
//! proportional to the recipient's own fragments and the text close to them.
//!
//! At a place where a tag begins or ends outside of all other tags, comments and elements of raw text, the
//! result of reading the rest depends only on a small state: the elements that are open, and a few values of
//! the reader. A seam is the part of a stretch between two such places; it was read with the first recipient.
//! For each recipient only the islands between the seams are read, and at each seam the state is compared
//! with the first recipient's. If it differs, for example because a fragment opens an element and leaves it
//! open, that recipient's page is read as a whole.

use std::ops::Range;
use std::sync::Arc;

use super::footer::{self, Places};
use super::outline::{Bit, Mark};
use super::shapes::{Around, PROBE, Rendered, Shape, Shapes};
use super::text::{Page, Standing};
use crate::message::html::{self, Event, Open, Walk};
use crate::message::part::{self, Part, Shared};
use crate::message::token;

/// A part of a stretch below this size, in bytes, is read again instead of skipped.
const MIN_JUMP: usize = 64;
/// The number of tags of a stretch at which a seam is looked for.
const MAX_TRIALS: usize = 100;
/// Elements that may be open at a seam.
const MAX_DEPTH: usize = 200;

/// The islands and seams of the pages of one campaign.
pub struct Seams {
    islands: Vec<Island>,
    /// The text part's stretches, if it is derived.
    text: Option<Arc<Shared>>,
    /// A footer may be needed.
    has_url: bool,
    /// The page's stretches.
    shared: Option<Arc<Shared>>,
    /// The shapes of each island.
    shapes: Shapes,
    rendered: Rendered,
    /// The size of the last recipient's own text. The next one's will be similar.
    text_bytes: usize,
}

/// An island, which is read for each recipient, and its end.
struct Island {
    fragments: Range<usize>,
    /// The parts of the stretches before the first and after the last fragment.
    before: String,
    behind: String,
    /// `None`: the island ends with the page.
    seam: Option<Seam>,
}

/// A part of a stretch that is not read again.
struct Seam {
    from: Place,
    to: Place,
    /// The number of elements that are open from the beginning of the island to its end, as far as is known;
    /// and from here to the end of the part.
    same: [usize; 2],
    /// True if it has a `</body>` or a `</html>` at which a footer would be visible.
    ends: bool,
    text: Vec<TextStep>,
}

/// The addition to the text part.
enum TextStep {
    Own(String),
    Stretch,
}

/// The state on which the rest of a page depends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Place {
    open: Vec<Open>,
    text: Standing,
}

/// The result of reading a page.
pub struct Reading {
    /// The page, with its footer if needed.
    pub html: Part,
    /// Its text.
    pub text: Option<Part>,
}

/// The state while a page is read.
#[derive(Clone)]
struct Reader<'u> {
    walk: Walk,
    places: Option<Places<'u>>,
    page: Option<Page>,
    /// An earlier `</body>` or `</html>` where a footer would be seen.
    ends_before: bool,
    /// The walk stands where the last jump led to, and not at an earlier place.
    arrived: bool,
}

impl Seams {
    /// Reads the page of a recipient to learn what the pages of others have in common with it. `fragments`
    /// are the elements of its fragments, `url` is the link that a footer would have, and a text part is
    /// derived if `derives`.
    pub fn learn(fragments: &[Vec<Bit>], html: &Part, url: Option<&str>, derives: bool) -> Seams {
        let stretches = html.shared().map_or(&[][..], |shared| shared.stretches());
        let mut learning =
            Learning { fragments, html, url, stretches, budget: html.len() * 16, texts: Vec::new() };
        let (mut islands, mut before, mut first) = (Vec::new(), String::new(), 0);
        let mut start = Reader::new(url, derives);
        for (last, stretch) in stretches.iter().enumerate() {
            let Some((cut, seam)) = learning.seam(&start, &before, first..last + 1) else { continue };
            start = Reader::at(&seam.to, url, derives);
            let behind = stretch[..cut.start].to_owned();
            let before = std::mem::replace(&mut before, stretch[cut.end..].to_owned());
            islands.push(Island { fragments: first..last + 1, before, behind, seam: Some(seam) });
            first = last + 1;
        }
        let fragments = first..stretches.len() + 1;
        islands.push(Island { fragments, before, behind: String::new(), seam: None });
        let text = derives.then(|| Arc::new(Shared::new(learning.texts, 't')));
        let shapes = Shapes::new(islands.len());
        let shared = html.shared().cloned();
        Seams {
            islands,
            text,
            has_url: url.is_some(),
            shared,
            shapes,
            rendered: Rendered::default(),
            text_bytes: 0,
        }
    }

    /// Reads the page of a recipient. `marks` are the texts of the template in its fragments.
    ///
    /// # Errors
    /// The unchanged page, if it has to be read as a whole.
    pub fn read(&mut self, mut html: Part, mut marks: &[Mark], url: Option<&str>) -> Result<Reading, Part> {
        let shared = match (&self.shared, html.shared()) {
            (Some(known), Some(found)) if Arc::ptr_eq(known, found) => known.clone(),
            _ => return Err(html),
        };
        if self.has_url != url.is_some() {
            return Err(html);
        }
        let mut reader = Reader::new(url, self.text.is_some());
        if let Some(page) = &mut reader.page {
            page.written.reserve(self.text_bytes + self.text_bytes / 8);
        }
        let ends_count = self.text.as_ref().map_or(0, |text| text.stretches().len());
        let (mut ends, mut island_text) = (Vec::with_capacity(ends_count), String::new());
        let beginning = Place::default();
        let mut start = &beginning;
        let (shapes, rendered) = (&mut self.shapes, &mut self.rendered);
        for (number, island) in self.islands.iter().enumerate() {
            rendered.split(&html, island.fragments.clone(), &mut marks);
            let around = island.around(shared.stretches());
            let Some(seam) = &island.seam else {
                let shape =
                    shapes.of(number, rendered, || Shape::of_end(rendered, &html, around, start.walk()));
                if let Some(shape) = shape
                    && let Some(end) = reader.skims_to_end(shape, rendered, &html, url)
                {
                    if let (Some(behind), Some(url)) = (end.footer, url) {
                        let insert = |last: &mut String| {
                            last.insert_str(last.len() - behind, &footer::markup(url));
                        };
                        html.change_last(insert);
                    }
                    return Ok(self.reading(html, end.text, ends));
                }
                island.put(&html, &mut island_text);
                break;
            };
            let learn = || Shape::of_island(rendered, &html, around, start.walk(), &seam.from.open);
            let skims =
                shapes.of(number, rendered, learn).is_some_and(|shape| reader.skims(shape, rendered, &html));
            if skims {
                if !reader.is_clear() || !reader.text_stands_at(&seam.from) {
                    return Err(html);
                }
            } else {
                island.put(&html, &mut island_text);
                let length = island_text.len();
                island_text.push_str(PROBE);
                reader.arrive(start);
                if !reader.reads_to(&island_text, length) || !reader.stands_at(&seam.from, seam.same[0]) {
                    return Err(html);
                }
            }
            reader.jump(seam, &mut ends, skims);
            start = &seam.to;
        }
        reader.arrive(start);
        if let Some(url) = url {
            let last = html.fragment(html.fragments().count() - 1).len();
            match reader.footer(&island_text, url) {
                Footer::None => {}
                Footer::At(at) if at + last >= island_text.len() => {
                    let footer = footer::markup(url);
                    html.change_last(|fragment| fragment.insert_str(at + last - island_text.len(), &footer));
                    island_text.insert_str(at, &footer);
                }
                Footer::At(_) | Footer::Elsewhere => return Err(html),
            }
        }
        let text = reader.text_to_end(&island_text);
        Ok(self.reading(html, text, ends))
    }

    fn reading(&mut self, html: Part, text: Option<String>, ends: Vec<usize>) -> Reading {
        self.text_bytes = text.as_ref().map_or(0, String::len);
        let text = self.text.as_ref().zip(text).map(|(shared, text)| Part::new(shared, text, ends));
        Reading { html, text }
    }
}

/// The result of reading a page's last island by its shape.
struct End {
    /// The number of bytes behind the footer, if there is one.
    footer: Option<usize>,
    text: Option<String>,
}

impl Place {
    fn walk(&self) -> Walk {
        let mut walk = Walk::default();
        walk.go_to(&self.open, 0);
        walk
    }
}

impl Island {
    /// The shared text around its fragments.
    fn around<'i>(&'i self, stretches: &'i [String]) -> Around<'i> {
        let between = &stretches[self.fragments.start..self.fragments.end - 1];
        Around { before: &self.before, between, behind: &self.behind }
    }

    /// The island of a recipient's page.
    fn put(&self, html: &Part, text: &mut String) {
        text.clear();
        text.push_str(&self.before);
        for number in self.fragments.clone() {
            if number > self.fragments.start {
                text.push_str(&html.shared().expect("it has stretches").stretches()[number - 1]);
            }
            text.push_str(html.fragment(number));
        }
        text.push_str(&self.behind);
    }
}

/// The place of a footer.
enum Footer {
    /// The link is visible.
    None,
    At(usize),
    /// Before the last island, or there is no place at which it is seen.
    Elsewhere,
}

impl<'u> Reader<'u> {
    fn new(url: Option<&'u str>, derives: bool) -> Reader<'u> {
        Reader {
            walk: Walk::default(),
            places: url.map(Places::new),
            page: derives.then(Page::default),
            ends_before: false,
            arrived: true,
        }
    }

    fn at(place: &Place, url: Option<&'u str>, derives: bool) -> Reader<'u> {
        let mut reader = Reader::new(url, derives);
        reader.walk = place.walk();
        if let Some(page) = &mut reader.page {
            page.standing = place.text.clone();
        }
        reader
    }

    fn take(&mut self, piece: html::Piece) {
        let (places, page) = (&mut self.places, &mut self.page);
        self.walk.take(piece, &mut |event| tell(&event, places, page));
    }

    /// Reads a text up to this place. Returns true if a tag could begin there.
    fn reads_to(&mut self, text: &str, place: usize) -> bool {
        for piece in html::pieces(text) {
            if matches!(&piece, html::Piece::Tag(_, attributes) if attributes.start == place) {
                return true;
            }
            self.take(piece);
        }
        false
    }

    /// Returns true if only a few elements are open, so that the rest depends only on its [`Place`].
    fn is_clear(&self) -> bool {
        self.walk.open().len() <= MAX_DEPTH
            && !self.places.as_ref().is_some_and(|places| places.in_link)
            && !self.page.as_ref().is_some_and(Page::is_in_link)
    }

    fn place(&self) -> Place {
        let text = self.page.as_ref().map(|page| page.standing.clone()).unwrap_or_default();
        Place { open: self.walk.open().to_vec(), text }
    }

    fn stands_at(&self, place: &Place, same: usize) -> bool {
        self.is_clear() && self.walk.stands_at(&place.open, same) && self.text_stands_at(place)
    }

    fn text_stands_at(&self, place: &Place) -> bool {
        self.page.as_ref().is_none_or(|page| page.standing == place.text)
    }

    /// Moves the walk to the place to which the last jump led.
    fn arrive(&mut self, place: &Place) {
        if !std::mem::replace(&mut self.arrived, true) {
            self.walk.go_to(&place.open, 0);
        }
    }

    /// Reads an island by its shape. Returns false, and reads nothing, if it has to be tokenized. The walk stays where
    /// it is.
    fn skims(&mut self, shape: &Shape, rendered: &Rendered, html: &Part) -> bool {
        let Some(values) = shape.values(rendered, html) else { return false };
        let (places, page) = (&mut self.places, &mut self.page);
        shape.tell(&values, |event| tell(event, places, page));
        true
    }

    /// Reads a page's last island by its shape. `None`: it has to be tokenized.
    fn skims_to_end(
        &mut self,
        shape: &Shape,
        rendered: &Rendered,
        html: &Part,
        url: Option<&str>,
    ) -> Option<End> {
        let mut values = shape.values(rendered, html)?;
        let mut places = self.places.clone();
        if places.as_ref().is_some_and(|places| !places.seen) {
            shape.tell(&values, |event| tell(event, &mut places, &mut None));
        }
        let footer = match url.filter(|_| places.is_some_and(|places| !places.seen)) {
            Some(url) => {
                let last = html.fragments().last().unwrap_or_default();
                Some(shape.add_footer(&mut values, url).filter(|behind| *behind <= last.len())?)
            }
            None => None,
        };
        let text = self.page.take().map(|page| {
            let mut page = Some(page);
            let see = |event: &Event<'_>| tell(event, &mut None, &mut page);
            match footer {
                Some(_) => shape.tell_with_footer(&values, see),
                None => shape.tell(&values, see),
            }
            page.unwrap_or_default().into_text()
        });
        Some(End { footer, text })
    }

    /// Continues behind a seam. If the island before it was read by its shape, the walk stays where it is.
    fn jump(&mut self, seam: &Seam, text_ends: &mut Vec<usize>, skimmed: bool) {
        if skimmed {
            self.arrived = false;
        } else {
            self.walk.go_to(&seam.to.open, seam.same[1]);
        }
        if let Some(places) = &mut self.places {
            let ends = places.body_end.take().is_some() | places.html_end.take().is_some();
            self.ends_before |= ends | seam.ends;
        }
        if let Some(page) = &mut self.page {
            page.standing.clone_from(&seam.to.text);
            for step in &seam.text {
                match step {
                    TextStep::Own(text) => page.written.push_str(text),
                    TextStep::Stretch => text_ends.push(page.written.len()),
                }
            }
        }
    }

    /// The place of the footer of a page whose last island this is.
    fn footer(&self, island: &str, url: &str) -> Footer {
        let places = |island: &str| {
            let (mut walk, mut places) = (self.walk.clone(), self.places.clone());
            let mut see = |event: Event<'_>| tell(&event, &mut places, &mut None);
            for piece in html::pieces(island) {
                walk.take(piece, &mut see);
            }
            walk.finish(&mut see);
            places
        };
        if self.places.as_ref().is_none_or(|places| places.seen) {
            return Footer::None;
        }
        match places(island) {
            Some(Places { seen: true, .. }) | None => Footer::None,
            Some(Places { body_end: Some(at), .. }) => Footer::At(at),
            _ if self.ends_before => Footer::Elsewhere,
            Some(Places { html_end: Some(at), .. }) => Footer::At(at),
            Some(_) => match places(&[island, &footer::markup(url)].concat()) {
                Some(Places { seen: true, .. }) => Footer::At(island.len()),
                _ => Footer::Elsewhere,
            },
        }
    }

    /// The text of a page whose last island this is.
    fn text_to_end(mut self, island: &str) -> Option<String> {
        self.page.as_ref()?;
        for piece in html::pieces(island) {
            self.take(piece);
        }
        let (places, page) = (&mut self.places, &mut self.page);
        self.walk.finish(&mut |event| tell(&event, places, page));
        self.page.map(Page::into_text)
    }
}

fn tell(event: &Event<'_>, places: &mut Option<Places<'_>>, page: &mut Option<Page>) {
    if let Some(places) = places {
        places.see(event);
    }
    if let Some(page) = page {
        page.see(event);
    }
}

/// The state while a page is learned.
struct Learning<'l> {
    fragments: &'l [Vec<Bit>],
    html: &'l Part,
    url: Option<&'l str>,
    stretches: &'l [String],
    /// The number of bytes that may still be read.
    budget: usize,
    /// The stretches of the text part.
    texts: Vec<String>,
}

impl Learning<'_> {
    /// A seam in the stretch behind the last of these fragments, and the part of the stretch that it jumps
    /// over. The state there was the same for four contents of the fragments: these, nothing, a letter, and
    /// the link.
    fn seam(
        &mut self,
        start: &Reader<'_>,
        before: &str,
        range: Range<usize>,
    ) -> Option<(Range<usize>, Seam)> {
        let stretch = &self.stretches[range.end - 1];
        let mut trials = Vec::new();
        let examples = [None, Some(""), Some("x")].into_iter().chain(self.url.map(Some));
        for with in examples {
            let mut text = before.to_owned();
            for number in range.clone() {
                if number > range.start {
                    text.push_str(&self.stretches[number - 1]);
                }
                match with {
                    None => text.push_str(self.html.fragment(number)),
                    Some(with) => self.fragments.get(number)?.iter().for_each(|bit| {
                        text.push_str(if let Bit::Text(text) = bit { text } else { with });
                    }),
                }
            }
            self.budget = self.budget.checked_sub(text.len())?;
            let length = text.len();
            text.push_str(stretch);
            trials.push(trial(start.clone(), &text, length));
        }
        let (own, others) = trials.split_first()?;
        // An example that leaves other elements open is not typical for this fragment.
        let alike = |other: &&Vec<(usize, Place)>| {
            own.iter().any(|(at, place)| {
                other.iter().any(|(other_at, other)| at == other_at && place.open == other.open)
            })
        };
        let others: Vec<_> = others.iter().filter(alike).collect();
        let (from, place) = own.iter().find(|found| others.iter().all(|other| other.contains(found)))?;
        let (to, seam) = self.middle(start, place, &stretch[*from..])?;
        Some((*from..from + to, seam))
    }

    /// The result of reading the part of a stretch from a place to the end of its last tag.
    fn middle(&mut self, start: &Reader<'_>, from: &Place, rest: &str) -> Option<(usize, Seam)> {
        let derives = start.page.is_some();
        self.budget = self.budget.checked_sub(rest.len() * 2)?;
        let (mut reader, mut end) = (Reader::at(from, self.url, derives), 0);
        for piece in html::pieces(rest) {
            let behind = match &piece {
                html::Piece::Tag(name, attributes) if !html::is_raw(name) => Some(attributes.end),
                html::Piece::End(_, at) => Some(at.end),
                _ => None,
            };
            reader.take(piece);
            if let Some(behind) = behind.filter(|_| reader.is_clear()) {
                end = behind;
            }
        }
        if end < MIN_JUMP {
            return None;
        }
        let mut reader = Reader::at(from, self.url, derives);
        for piece in html::pieces(&rest[..end]) {
            // Skipped parts are not searched for tokens.
            let may_hold_token = match &piece {
                html::Piece::Text(text) => part::has_word(text, token::LENGTH),
                html::Piece::Tag(_, attributes) => {
                    attributes.get("href").is_some_and(|href| part::has_word(href, token::LENGTH))
                }
                html::Piece::End(..) => false,
            };
            if may_hold_token {
                return None;
            }
            reader.take(piece);
        }
        let to = reader.place();
        let ends = reader
            .places
            .as_ref()
            .is_some_and(|places| places.body_end.is_some() || places.html_end.is_some());
        let same = |a: &[Open], b: &[Open]| a.iter().zip(b).take_while(|(a, b)| a == b).count();
        let same = [same(start.walk.open(), &from.open), same(&from.open, &to.open)];
        let mut text = Vec::new();
        for piece in reader.page.iter().flat_map(|page| part::pieces(&page.written)) {
            match piece {
                part::Piece::Own(own) => text.push(TextStep::Own(own.to_owned())),
                part::Piece::Shared(stretch) => {
                    self.texts.push(stretch.to_owned());
                    text.push(TextStep::Stretch);
                }
            }
        }
        Some((end, Seam { from: from.clone(), to, same, ends, text }))
    }
}

/// Reads on. Returns the places before tags at which a stretch that begins at `from` could be jumped into, in
/// bytes of the stretch.
fn trial(mut reader: Reader<'_>, text: &str, from: usize) -> Vec<(usize, Place)> {
    let mut places = Vec::new();
    for piece in html::pieces(text) {
        let at = match &piece {
            html::Piece::Tag(_, attributes) => Some(attributes.start),
            html::Piece::End(name, at) if !html::is_raw(name) => Some(at.start),
            _ => None,
        };
        if let Some(at) = at.and_then(|at| at.checked_sub(from)).filter(|_| reader.is_clear()) {
            places.push((at, reader.place()));
            if places.len() == MAX_TRIALS {
                break;
            }
        }
        reader.take(piece);
    }
    places
}
