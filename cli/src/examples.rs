//! Every command line in the help and the documents can be parsed.

use clap::{CommandFactory as _, Parser as _};

use super::Cli;

const DOCUMENTS: [(&str, &str); 6] = [
    ("README.md", include_str!("../../README.md")),
    ("docs/cli.md", include_str!("../../docs/cli.md")),
    ("docs/deploy.md", include_str!("../../docs/deploy.md")),
    ("docs/operate.md", include_str!("../../docs/operate.md")),
    ("docs/reputation.md", include_str!("../../docs/reputation.md")),
    ("docs/tenants.md", include_str!("../../docs/tenants.md")),
];
const ID: &str = "5f0c2b1e-7d34-4c8a-9b61-2f7e0a4d9c35";

/// The part of a shell line from `campaign` on, if that is a command there.
fn command_line(line: &str) -> Option<&str> {
    let line = line.trim().trim_start_matches("$ ");
    let (before, _) = line.split_once("campaign ")?;
    let after_variables = before.split_whitespace().all(|word| word.contains('=')) && !before.ends_with('=');
    let is_command = after_variables || ["| ", "$(", "&& ", " -- "].iter().any(|end| before.ends_with(end));
    is_command.then(|| &line[before.len()..])
}

/// The command's words, with values in place of placeholders.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for character in line.chars() {
        match (character, quote) {
            ('\'' | '"', None) => quote = Some(character),
            (character, Some(open)) if character == open => quote = None,
            (' ', None) => words.push(String::new()),
            // Characters that end the command, brackets around optional parts, and `$(…)`.
            ('|' | '>' | '<' | '&' | '#', None)
                if words.last().is_none_or(|word| word.is_empty() || word == "2") =>
            {
                words.pop();
                break;
            }
            ('[' | ']' | ')', None) => {}
            (character, _) => words.last_mut().unwrap().push(character),
        }
    }
    words.retain(|word| !word.is_empty());
    words
        .into_iter()
        .map(|word| match word.as_str() {
            "$id" | "ID" | "CAMPAIGN" => ID.to_owned(),
            "ADDRESS" => "a@example.com".to_owned(),
            word if word.contains('…') => ID.to_owned(),
            word => word.to_owned(),
        })
        .collect()
}

fn assert_understood(place: &str, text: &str) -> usize {
    let text = text.replace("\\\n>", "").replace("\\\n", "");
    let text = text.replace("cargo run --release --bin campaign -- ", "campaign ");
    let lines = text.lines().filter_map(command_line);
    lines
        .map(|line| {
            if let Err(error) = Cli::try_parse_from(words(line)) {
                assert!(!error.use_stderr(), "{place}: {line}\n{error}");
            }
        })
        .count()
}

fn assert_examples_understood(command: &clap::Command, name: &str) -> usize {
    let more = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let own = assert_understood(name, &more);
    own + command
        .get_subcommands()
        .map(|subcommand| {
            assert_examples_understood(subcommand, &format!("{name} {}", subcommand.get_name()))
        })
        .sum::<usize>()
}

/// A value that an argument accepts.
fn sample(argument: &clap::Arg) -> String {
    let name = argument.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
    match (argument.get_possible_values().first(), name, argument.get_id().as_str()) {
        (Some(value), ..) => value.get_name().to_owned(),
        (None, "TIME", _) => "2030-06-01T09:00Z".to_owned(),
        (None, "FIELD=COLUMN", _) => "email=Mail".to_owned(),
        (None, "CHARACTER", _) => ";".to_owned(),
        (None, "AGE", _) => "180d".to_owned(),
        (None, "NAME=VALUE", _) => "utm_source=newsletter".to_owned(),
        (None, "ID=FILE", _) => "logo=logo.png".to_owned(),
        (None, "N" | "SECONDS" | "MS", _) | (None, _, "interval" | "limit") => "3".to_owned(),
        (None, "ID", _) | (None, _, "campaign" | "id" | "organization") => ID.to_owned(),
        _ => "a@example.com".to_owned(),
    }
}

/// Usage lines have options before the other arguments: each option has the same effect before and after
/// them.
fn assert_order_does_not_matter(command: &clap::Command, path: &[String]) -> usize {
    let is_given = |argument: &&clap::Arg| argument.is_positional() || argument.is_required_set();
    let given: Vec<String> = command
        .get_arguments()
        .filter(is_given)
        .flat_map(|argument| {
            let flag = argument.get_long().map(|long| format!("--{long}"));
            flag.into_iter().chain([sample(argument)])
        })
        .collect();
    let required =
        command.get_arguments().filter(|argument| argument.is_required_set() && !argument.is_positional());
    for option in required.filter_map(|argument| Some((argument.get_long()?, sample(argument)))) {
        let option = [format!("--{}", option.0), option.1];
        let others: Vec<String> =
            given.chunks(1).flatten().filter(|word| !option.contains(word)).cloned().collect();
        let [before, after] = [[path, &option, &others], [path, &others, &option]]
            .map(|words| Cli::try_parse_from(words.concat()));
        assert_eq!(before.is_ok(), after.is_ok(), "{path:?} {option:?} {others:?}");
    }
    let mut count = 0;
    for option in
        command.get_arguments().filter(|argument| !argument.is_positional() && !argument.is_required_set())
    {
        let Some(long) = option.get_long().filter(|long| !matches!(*long, "help" | "version")) else {
            continue;
        };
        let value = option.get_action().takes_values().then(|| sample(option));
        let option: Vec<String> = [format!("--{long}")].into_iter().chain(value).collect();
        let outcome = |words: [&[String]; 3]| {
            Cli::try_parse_from(words.concat()).map(drop).map_err(|error| (error.kind(), error.to_string()))
        };
        let (before, after) = (outcome([path, &option, &given]), outcome([path, &given, &option]));
        let kind = |outcome: &Result<(), (clap::error::ErrorKind, String)>| {
            outcome.as_ref().map_err(|error| error.0).copied()
        };
        assert_eq!(kind(&before), kind(&after), "{path:?} {option:?} {given:?}\n{before:?}\n{after:?}");
        if let Err((error, said)) = before {
            assert!(
                matches!(
                    error,
                    clap::error::ErrorKind::ArgumentConflict
                        | clap::error::ErrorKind::MissingRequiredArgument
                ),
                "{path:?} {option:?} {said}"
            );
        }
        count += 1;
    }
    let below = command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help");
    count
        + below
            .map(|subcommand| {
                assert_order_does_not_matter(
                    subcommand,
                    &[path, &[subcommand.get_name().to_owned()]].concat(),
                )
            })
            .sum::<usize>()
}

#[test]
fn options_may_stand_before_and_after_the_other_arguments() {
    let options = assert_order_does_not_matter(&Cli::command(), &["campaign".to_owned()]);
    assert!(options > 40, "{options}");
}

#[test]
fn the_examples_of_the_help_are_understood() {
    let examples = assert_examples_understood(&Cli::command(), "campaign");
    assert!(examples > 30, "{examples}");
}

#[test]
fn the_command_lines_in_the_documents_are_understood() {
    for (name, document) in DOCUMENTS {
        let blocks: String = document
            .split("\n```")
            .skip(1)
            .step_by(2)
            .filter(|block| block.starts_with("sh\n") || block.starts_with("console\n"))
            .map(|block| block.split_once('\n').map_or("", |(_, lines)| lines).to_owned() + "\n")
            .collect();
        let found = assert_understood(name, &blocks);
        assert!(found > 0 || !blocks.contains("campaign "), "{name}");
    }
}
