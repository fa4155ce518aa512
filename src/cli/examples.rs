//! Every command line that the help or a document shows is one that is understood.

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

/// What stands in a line of a shell from `campaign` on, if that is a command there.
fn command_line(line: &str) -> Option<&str> {
    let line = line.trim().trim_start_matches("$ ");
    let (before, _) = line.split_once("campaign ")?;
    let after_variables = before.split_whitespace().all(|word| word.contains('=')) && !before.ends_with('=');
    let is_command = after_variables || ["| ", "$(", "&& ", " -- "].iter().any(|end| before.ends_with(end));
    is_command.then(|| &line[before.len()..])
}

/// The command's words, with values in place of those that stand for some.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for character in line.chars() {
        match (character, quote) {
            ('\'' | '"', None) => quote = Some(character),
            (character, Some(open)) if character == open => quote = None,
            (' ', None) => words.push(String::new()),
            // What ends the command, the brackets of what may be left out, and `$(…)`.
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
