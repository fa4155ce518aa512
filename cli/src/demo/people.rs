//! The demo's campaign: recipients as a CRM has them, good and bad.

use serde_json::{Value, json};
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::super::failure::Failure;
use super::super::soon;
use campaign_sender::store::Database;

/// The campaign's name.
pub const CAMPAIGN_NAME: &str = "Spring harvest";
/// The local SES refuses addresses at this domain.
pub const REFUSED_DOMAIN: &str = "refused.example";

const SUBJECT: &str =
    "{{ name ~ ', the' if name else 'The' }} spring harvest is here, with {{ points }} points for you";

/// Name and the local part of the address. The names have every script that an international CRM meets, and
/// input that breaks naive code: apostrophes, quotes, markup, direction marks, names of one letter or none.
const PEOPLE: [(&str, &str); 32] = [
    ("Aoife O'Neil", "aoife.o'neil"),
    ("Zoë Müller-Lüdenscheidt", "zoe.mueller"),
    ("山田 花子", "hanako.yamada"),
    ("محمد الأحمد", "m.alahmad"),
    ("", "newsletter"),
    ("Łukasz Wójcik", "lukasz_wojcik"),
    ("François L'Écuyer", "francois+shop"),
    ("王小明", "xiaoming.wang"),
    ("דנה לוי", "dana.levi"),
    ("Ana María Ñúñez", "ana-maria"),
    ("김민준", "minjun.kim"),
    ("Þórður Jónsson", "thordur"),
    ("Дмитрий Иванов", "d.ivanov"),
    ("", "info"),
    ("Γιώργος Παπαδόπουλος", "george.pap"),
    ("Nguyễn Thị Ánh", "anh.nguyen"),
    ("Robert \"Bob\" <Tables>", "bobby.tables"),
    ("प्रिया शर्मा", "priya.sharma"),
    ("Siân ap Rhys & Sons", "sian"),
    ("สมชาย ใจดี", "somchai"),
    ("J", "j"),
    ("Oğuz Şimşek", "oguz.simsek"),
    ("Chloé 🌸 Dubois", "chloe+coffee+beans"),
    ("فاطمه رضایی", "f.rezaei"),
    ("Ngozi Okonkwo-Adébáyò", "ngozi"),
    ("ada lovelace", "Ada.Lovelace"),
    ("Արամ Խաչատրյան", "aram"),
    ("İpek Çağlar", "ipek.caglar"),
    ("Hubert Blaine Wolfeschlegelsteinhausenbergerdorff Sr.", "hubert.b"),
    ("თამარ ბერიძე", "tamar"),
    ("Siobhán Ní Dhomhnaill", "siobhan"),
    ("João D’Ávila", "joao=davila"),
];

const DOMAINS: [&str; 6] = [
    "example.com",
    "example.org",
    "mail.example.net",
    "kaffee-münchen.example",
    "EXAMPLE.COM",
    "コーヒー.example",
];

const FAVOURITES: [&str; 4] = ["Yirgacheffe", "Huila", "Sidra", "Pacamara"];

/// Invalid addresses; `#` is replaced by the recipient's number.
const INVALID: [&str; 6] = [
    "no-at-sign-#.example.com",
    "two..dots#@example.com",
    "jürgen#@example.com",
    "in the office #@example.com",
    "intranet#@localhost",
    "Ada <ada#@example.com>",
];

/// One row.
struct Recipient {
    email: String,
    name: Option<&'static str>,
    variables: Value,
    suppressed: bool,
}

/// The n-th recipient. Of each 200, 4 have an invalid address, 1 is refused by SES, 2 are suppressed, and 1
/// lacks a variable.
fn recipient(n: u32) -> Recipient {
    let i = n as usize;
    let (name, local) = PEOPLE[i % PEOPLE.len()];
    let email = match n % 200 {
        17 => format!("{}{n}@{REFUSED_DOMAIN}", local.replace('\'', "")),
        k if k % 50 == 7 => INVALID[i / 50 % INVALID.len()].replace('#', &n.to_string()),
        _ => format!("{local}{n}@{}", DOMAINS[i / PEOPLE.len() % DOMAINS.len()]),
    };
    let mut variables = json!({
        "points": 20 + (n * 37) % 480,
        "favourite": FAVOURITES[i % FAVOURITES.len()],
        "coupon": format!("SPRING-{:05X}", n.wrapping_mul(40_503) % 0xF_FFFF),
    });
    if n % 200 == 37
        && let Some(variables) = variables.as_object_mut()
    {
        variables.remove("coupon");
    }
    Recipient { email, name: (!name.is_empty()).then_some(name), variables, suppressed: n % 100 == 27 }
}

/// Writes the campaign, its recipients and the suppression list, and starts the campaign, as a CRM does.
///
/// # Errors
/// PostgreSQL's error.
pub async fn load(database: &Database, count: u32) -> Result<Uuid, Failure> {
    let recipients: Vec<Recipient> = (0..count).map(recipient).collect();
    let (campaign, organization) = (Uuid::new_v4(), Uuid::new_v4());
    let emails: Vec<&str> = recipients.iter().map(|recipient| recipient.email.as_str()).collect();
    let names: Vec<Option<&str>> = recipients.iter().map(|recipient| recipient.name).collect();
    let variables: Vec<&Value> = recipients.iter().map(|recipient| &recipient.variables).collect();
    let suppressed: Vec<bool> = recipients.iter().map(|recipient| recipient.suppressed).collect();
    let shared = json!({"shop": "Kaffa Coffee Co.", "accent": "#2f6f4f"});
    let parameters: [(&(dyn ToSql + Sync), Type); 10] = [
        (&campaign, Type::UUID),
        (&organization, Type::UUID),
        (&CAMPAIGN_NAME, Type::TEXT),
        (&SUBJECT, Type::TEXT),
        (&include_str!("campaign.html"), Type::TEXT),
        (&shared, Type::JSONB),
        (&emails, Type::TEXT_ARRAY),
        (&names, Type::TEXT_ARRAY),
        (&variables, Type::JSONB_ARRAY),
        (&suppressed, Type::BOOL_ARRAY),
    ];
    database.query(include_str!("load.sql"), &parameters, soon()).await?;
    Ok(campaign)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use campaign_sender::domain::address;
    use campaign_sender::domain::campaign::Source;
    use campaign_sender::message::render::{Person, Templates};

    fn templates() -> Templates {
        Templates::compile(Source {
            campaign_name: CAMPAIGN_NAME.to_owned(),
            subject: SUBJECT.to_owned(),
            html: Some(include_str!("campaign.html").to_owned()),
            text: None,
            variables: Some(r##"{"shop": "Kaffa Coffee Co.", "accent": "#2f6f4f"}"##.to_owned()),
            transactional: false,
        })
        .unwrap()
    }

    #[test]
    fn of_1000_recipients_20_are_invalid_and_5_lack_a_variable_and_nobody_is_there_twice() {
        let templates = templates();
        let (mut invalid, mut unrenderable, mut seen) = (0, 0, HashSet::new());
        for recipient in (0..1000).map(recipient) {
            invalid += u32::from(address::sendable(&recipient.email).is_err());
            let variables = recipient.variables.to_string();
            let person = Person {
                email: &recipient.email,
                name: recipient.name,
                variables: Some(&variables),
                unsubscribe_url: Some("https://example.com"),
            };
            unrenderable += u32::from(templates.render(&person).is_err());
            assert!(seen.insert(recipient.email.to_lowercase()), "{}", recipient.email);
        }
        assert_eq!((invalid, unrenderable), (20, 5));
    }
}
