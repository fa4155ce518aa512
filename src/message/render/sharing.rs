//! The joined pieces equal the result of rendering and reading the whole, for any template and any data.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::message::token;

fn url(recipient: usize) -> String {
    let token: String = format!("AQ{recipient:02}").chars().cycle().take(token::LENGTH).collect();
    format!("https://example.com/u/{token}")
}

/// The parts by the plain way: the engine's own output, read as a whole.
fn plainly(templates: &Templates, person: &Person<'_>) -> Result<Content, String> {
    let (context, written) = templates.context(person).map_err(|error| error.to_string())?;
    numbers::shown_as([&written, &templates.shared.written], || {
        let part = |name: &str| {
            let template = templates.environment.get_template(name).ok()?;
            let render = template.render(&context);
            Some(render.map_err(|error| describe(name, &error)))
        };
        let subject = one_line(&part("subject").unwrap()?);
        let (mut html, mut text) = (part("html").transpose()?, part("text").transpose()?);
        let footer = person.unsubscribe_url.filter(|_| !templates.transactional);
        if let Some(page) = html.take() {
            let reading = read_whole(Part::whole(page), footer, text.is_none());
            html = Some(String::from(reading.html));
            text = text.or(reading.text.map(String::from));
        }
        if let (Some(url), Some(text)) = (footer, &mut text) {
            let mut part = Part::whole(std::mem::take(text));
            footer::add_to_text(&mut part, url);
            *text = String::from(part);
        }
        if let (Some(url), Some(html)) = (person.unsubscribe_url, &mut html) {
            untracked::mark(html, url);
        }
        Ok(Content { subject, html, text })
    })
}

struct Campaign {
    templates: Templates,
}

impl Campaign {
    fn new(html: Option<String>, text: Option<String>, transactional: bool) -> Option<Campaign> {
        let source = Source {
            campaign_name: "Spring".into(),
            subject: "Hi {{ name or 'you' }}".into(),
            html,
            text,
            variables: Some(r#"{"city": "Oslo", "shop": "https://example.com/?a=1&b=2"}"#.into()),
            transactional,
            link_parameters: None,
        };
        Templates::compile(source).ok().map(|templates| Campaign { templates })
    }

    /// Compares all recipients, and returns how many bytes each has of its own.
    fn compare(&self, people: &[(Option<&str>, Json)], with_link: bool) -> Vec<usize> {
        let mut own = Vec::new();
        for (number, (name, variables)) in people.iter().enumerate() {
            let url = url(number);
            let variables = variables.to_string().replace(OWN_LINK, &url);
            let person = Person {
                email: "ada@example.com",
                name: *name,
                variables: Some(&variables),
                unsubscribe_url: with_link.then_some(&url),
            };
            let parts = self.templates.parts(&person).map_err(|error| error.to_string());
            if let Ok(Parts { html, text, .. }) = &parts {
                own.push([html, text].into_iter().flatten().map(Part::own_bytes).sum());
            }
            assert_eq!(parts.map(Parts::join), plainly(&self.templates, &person), "recipient {number}");
        }
        own
    }
}

/// Text for stretches, and what is between them.
const SNIPPETS: [&str; 78] = [
    "<html><head><title>The newsletter of spring</title><style>p{margin:0} a{color:#06c} td{padding:4px 8px;font-size:14px} @media print{.x{display:none}}</style></head><body>",
    "<div style=\"display:none;max-height:0\">A preheader that nobody sees but in the list of messages, padded a bit to be long enough&zwnj;&nbsp;</div>",
    "<table width=\"100%\" cellpadding=\"0\"><tr><td style=\"padding:0 24px;font-family:Arial,sans-serif;font-size:14px\">",
    "</td></tr></table>",
    "</td><td align=\"right\" style=\"color:#333\">",
    "<p style=\"margin:0 0 16px\">The new harvest is here, and we have roasted it on Monday, so that it is with you by the weekend.</p>",
    "<p>A paragraph with <b>bold</b>, <i>italic</i> &amp; <a href=\"https://example.com/a?b=1&amp;c=2\">a link of its own</a>, and some more text to make it long enough.</p>\r\n",
    "<h1>News</h1>\n\n<p>Short</p>",
    "<ul><li>One thing that there is to say of this week</li><li>Another thing, which is as long as the first one was, or longer</li></ul>",
    "<ol><li>first of the list, with enough text behind it to be a stretch</li><li>second of the list, with enough text behind it too",
    "</li></ol>",
    "<li>",
    "<s>20.00</s> 15.00 &euro; <sup>2</sup> H<sub>2</sub>O and a text that goes on for some time, so that it is long enough to be shared</s>",
    "<pre>\n  keep   this\n    as it is, line by line, with all of its white space, and then some more of it\n</pre>",
    "<!-- a comment with <p>markup</p> that nobody sees, and which is long enough to be a stretch of its own, too -->",
    "<!--[if mso]><table role=\"presentation\" width=\"600\"><tr><td><![endif]--><div style=\"max-width:600px;margin:0 auto\">",
    "</div>",
    "<img src=\"https://example.com/i.png\" alt=\"A picture of a cup of coffee on a wooden table in the morning light\" width=\"600\">",
    "<hr style=\"border:0;border-top:1px solid #ccc\"><br><br>\n",
    "{% raw %}<p>Handlebars has {{name}} and {{{name}}} and \\{{name}}, which must come as they stand here, whatever reads it</p>{% endraw %}",
    "<p>a backslash at the end, and braces {{ '{{' }} and { and } and {{ '}}' }} in a text that is long enough for a stretch \\",
    "{{ name or city }}",
    "{{ name or 'friend' }}",
    "{{ city }}",
    "{{ markup|safe }}",
    "{{ empty }}",
    "{{ price }}",
    "{{- name or '' -}}",
    "  {%- if vip -%}  <b>VIP</b>  {%- endif -%}  ",
    "{% if vip %}<tr><td>A row for the best of our customers, with a long text in it that is not shared with anybody</td></tr>{% endif %}",
    "{% if vip %}<div class=\"gold\">{% else %}<div class=\"grey\">{% endif %}",
    "{% if vip %}<div>{% endif %}",
    "{% if vip %}<!--{% endif %}",
    "{% if vip %}<style>{% endif %}",
    "{% for item in items %}<li>{{ item }}{% if not loop.last %}, {% endif %}</li>{% endfor %}",
    "{% for item in items %}<p>{{ loop.index }}. {{ item|upper }}</p>{% else %}<p>Nothing</p>{% endfor %}",
    "{% set greeting = 'Dear ' ~ (name or 'friend') %}",
    "{{ greeting|default('Hello') }}",
    "{% set u = unsubscribe_url %}<a class=\"x\" href=\"{{ u }}\" title=\"a title that is long enough to make this a stretch of the template, with the tag's end\">Off</a>",
    "{% macro button(url, label) %}<a href=\"{{ url }}\" style=\"background:#06c\">{{ label }}</a>{% endmacro %}",
    "{{ button(shop, 'Buy') if button is defined else '' }}",
    "{% filter upper %}shout {{ name or 'x' }} as loud as you can, for that is what this block is for, and for nothing else{% endfilter %}",
    "{% with a = name or 'n' %}<p>Within a block that has a name of its own for what is {{ a }}, and text enough to be shared by all</p>{% endwith %}",
    "{% autoescape false %}<p>Nothing is escaped in here, neither {{ name or '<n>' }} nor what else there is, and it is long enough</p>{% endautoescape %}",
    "{# a comment of the template #}",
    "<a href=\"{{ shop }}\">the shop</a>",
    "<a href=\"https://example.com/products?utm_source=newsletter&amp;utm_medium=email&amp;utm_campaign=spring&amp;id={{ id }}\" style=\"color:#06c\">Look at it</a>",
    "<a href='{{ url }}'>{{ name or 'there' }}</a>",
    "<a href=\"{{ unsubscribe_url }}\">Unsubscribe</a>",
    "<a style=\"color:#999;text-decoration:underline\" class=\"footer-link\" href=\"{{ unsubscribe_url }}\" title=\"no more emails\">Unsubscribe from this newsletter, which we would regret</a>",
    "<a href=\"https://example.com/redirect?to={{ unsubscribe_url }}\"></a>",
    "<div style=\"display:none\"><a href=\"{{ unsubscribe_url }}\">hidden</a></div>",
    "{{ unsubscribe_url }}",
    "<td style=\"color:{{ colour }}\">",
    "<p title=\"{{ name or '' }}\" style='{{ style }}'>",
    "</p>",
    "</body>",
    "</html>",
    "<p>How </body> is written, and what comes after it, in a paragraph that is long enough to be a stretch of its own</p>",
    "<title>{{ city }}</title><textarea>{{ name or '' }}</textarea>",
    "<span style=\"font-size:0\">tiny</span><p hidden>hidden</p><template>a template, with text that nobody sees and that is long enough to count</template>",
    "&amp;&copy",
    "{% if vip %}</td><td style=\"display:none\">{% endif %}",
    "<{{ name or 'b' }}>",
    "<pre>a\r{{ id }}b {{ empty }}</pre>",
    "x<head>{{ empty }}<meta></head>y",
    "{% autoescape false %}<a title=\"{{ name or '' }}\" href='{{ url }}'>{{ id }}</a>{% endautoescape %}",
    "<p style=\"height:{{ empty }};overflow:hidden\">seen?</p><p style=\"color:{{ empty }}\">seen?</p>",
    "</{{ name or 'b' }}><!{{ name or 'b' }}>",
    "&{{ name or 'amp;' }}; &am{{ empty }}p; &#{{ id }};",
    "<a href={{ url }}>x</a><a title='{{ url }}' href=\"a{{ id }}b{{ empty }}c\">y {{ name or 'z' }} {{ id }}</a>",
    "<script>var a = \"{{ name or '' }}\"</script><!-- {{ name or '' }} -->",
    "<b style=\"width:{{ style }};color:{{ colour }};background:#fff\">{{ price }}</b><b {{ style }}>{{ id }}</b>",
    "<i style=\"{{ style }}:none\">hidden?</i><i style=\"color:{{ colour }};{{ style }}\">{{ id }}</i>",
    "<s>{{ name or 'x' }}</s><pre>{{ name or 'x' }}\n{{ id }}</pre><ol start=\"{{ id }}\"><li value='{{ id }}'>{{ id }}",
    "<img alt=\"{{ name or '' }}\"><a href=\"{{ url }}\"><img alt=\"{{ empty }}\"></a><sup>{{ id }}</sup>\r{{ name or '' }}",
    "{% for item in items %}<tr><td style=\"padding:4px\"><a href=\"https://example.com/{{ item }}\">{{ item }}</a></td></tr>{% endfor %}",
    "<p>A sentence before a link with a variable of the data</p><a class=\"button\" style=\"color:#fff;background:#06c\" href=\"{{ url }}\" title=\"t\">x</a>",
];

/// Stands for the recipient's link to unsubscribe, where a variable of the data holds it.
const OWN_LINK: &str = "https://example.com/own";

/// Values that a template may be surprised by.
const VALUES: [&str; 32] = [
    "",
    "Ada",
    "Zoë & Co",
    "<b>x</b>",
    "<div>",
    "</div>",
    "</td></tr>",
    "<!--",
    "-->",
    "\"",
    "'",
    "\"><p>",
    "{{name}}",
    "{{{h1}}}",
    "\\",
    "a\r\nb",
    "日本語 😀",
    "   ",
    "<style>",
    "</body>",
    "<a href=x>",
    "display:none",
    "amp;",
    "amp;lt;",
    "\nx;y:z",
    "!--",
    "\u{200b}x\u{ad}y",
    "/div",
    "0",
    "red;display:none",
    "a\u{f0000}> &lt;\u{f0000}",
    "12",
];

fn people() -> impl Strategy<Value = Vec<(Option<&'static str>, Json)>> {
    let value = || proptest::sample::select(&VALUES[..]);
    let person = (
        proptest::option::of(value()),
        proptest::collection::btree_map(
            proptest::sample::select(
                &["markup", "empty", "id", "url", "colour", "style", "city", "greeting"][..],
            ),
            value(),
            0..6,
        ),
        any::<bool>(),
        proptest::collection::vec(value(), 0..4),
        0..3usize,
    );
    let person = person.prop_map(|(name, values, vip, items, link)| {
        let mut variables = json!({"markup": "", "empty": "", "id": 7, "url": "https://example.com/", "colour": "red",
                                   "style": "a:b", "price": 20.5, "vip": vip, "items": items});
        for (key, value) in values {
            variables[key] = value.into();
        }
        match link {
            0 => {}
            1 => variables["markup"] = format!("<a href='{}'>own</a>", url(0)).into(),
            _ => variables["url"] = OWN_LINK.into(),
        }
        (name, variables)
    });
    proptest::collection::vec(person, 1..6)
}

fn snippets(count: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::sample::select(&SNIPPETS[..]), count).prop_map(|all| all.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn an_email_in_pieces_is_the_whole_email(
        html in snippets(1..24),
        text in proptest::option::of(snippets(1..8)),
        people in people(),
        transactional: bool,
        with_link in proptest::bool::weighted(0.9),
    ) {
        if let Some(campaign) = Campaign::new(Some(html), text, transactional) {
            campaign.compare(&people, with_link);
        }
    }

    #[test]
    fn so_is_one_whose_pieces_stand_between_what_all_share(
        between in proptest::collection::vec(snippets(1..4), 1..6),
        text in proptest::option::weighted(0.2, snippets(1..8)),
        people in people(),
    ) {
        let html = SNIPPETS[0].to_owned() + &between.iter().map(|between| block(between)).collect::<String>() + "</body></html>";
        if let Some(campaign) = Campaign::new(Some(html), text, false) {
            campaign.compare(&people, true);
        }
    }
}

/// A row of a page that is mostly shared.
fn block(between: &str) -> String {
    [SNIPPETS[2], between, SNIPPETS[5], SNIPPETS[6], "</td></tr></table>"].concat()
}

/// A newsletter, in which each of the snippets stands between others that are balanced.
fn newsletter(between: &str) -> String {
    let mut html = SNIPPETS[0].to_owned();
    for number in 0..12 {
        html.push_str(SNIPPETS[2]);
        html.push_str(between);
        html.push_str(&SNIPPETS[5].replace("Monday", &format!("day {number}")));
        html.push_str("</td></tr></table>");
    }
    html + "</body></html>"
}

#[test]
fn every_value_is_read_as_in_the_whole_wherever_it_stands() {
    for between in SNIPPETS {
        let Some(campaign) = Campaign::new(Some(newsletter(between)), None, false) else { continue };
        let data = |value: &str| {
            json!({"markup": value, "empty": value, "id": value, "url": value, "colour": value, "style": value,
                   "price": value, "vip": true, "items": ["a", value]})
        };
        let people: Vec<_> = ["Ada"].iter().chain(&VALUES).map(|value| (Some(*value), data(value))).collect();
        campaign.compare(&people, true);
    }
}

#[test]
fn of_an_ordinary_newsletter_only_what_differs_is_a_recipients_own() {
    let people = [
        (
            Some("Ada"),
            json!({"vip": true, "items": ["a", "b"], "id": 1, "colour": "red", "empty": "", "url": "https://example.com"}),
        ),
        (
            None,
            json!({"vip": false, "items": [], "id": 2, "colour": "blue", "empty": "", "url": "https://example.com/b"}),
        ),
        (
            Some("Zoë \"x\" <b>"),
            json!({"vip": false, "items": ["a"], "id": 3, "colour": "", "empty": "x", "url": ""}),
        ),
    ];
    for between in [
        "Dear {{ name or 'friend' }}, ",
        "<p>{{ empty }}</p>",
        "{% if vip %}<p>VIP</p>{% endif %}",
        "<ul>{% for item in items %}<li>{{ item }}</li>{% endfor %}</ul>",
        "<a href=\"https://example.com/?id={{ id }}\">Look</a>",
        "<a href=\"{{ url }}\">{{ name or 'there' }}</a>",
        "<span style=\"color:{{ colour }}\">x</span>",
        "{% if vip %}<div class=\"gold\">{% else %}<div class=\"grey\">{% endif %}x</div>",
        "<a href=\"{{ unsubscribe_url }}\">Enough</a>",
    ] {
        for text in [None, Some("Dear {{ name or 'friend' }}".to_owned())] {
            let campaign = Campaign::new(Some(newsletter(between)), text, false).unwrap();
            let own = campaign.compare(&people, true);
            assert_eq!(campaign.templates.wholes(), 0, "{between}");
            assert!(
                own.iter().all(|own| *own < 4_500),
                "{between}: {own:?} of {}",
                newsletter(between).len()
            );
        }
    }
}
