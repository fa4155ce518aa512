//! The commands of `docs/cli.md` and the demo of `README.md` print what is documented.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use local_ses::ses::{Effect, Rule};

use crate::support::World;
use crate::{Scratch, without_times};

/// A block of code of the page: its info string and its lines.
struct Block {
    info: String,
    text: String,
}

/// The page as text and blocks, in turn; the first is text.
fn blocks(page: &str) -> Vec<(String, Block)> {
    let mut blocks = Vec::new();
    let mut rest = page;
    while let Some((before, after)) = rest.split_once("\n```") {
        let (info, after) = after.split_once('\n').expect("a block has lines");
        let (text, after) = after.split_once("\n```\n").expect("a block has an end");
        blocks.push((format!("{before}\n"), Block { info: info.to_owned(), text: format!("{text}\n") }));
        rest = after;
    }
    blocks.push((rest.to_owned(), Block { info: String::new(), text: String::new() }));
    blocks
}

/// The block's commands, each with its documented output.
fn commands(block: &str) -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix("$ "), line.strip_prefix("> "), commands.last_mut()) {
            (Some(command), ..) => commands.push((command.to_owned(), String::new())),
            (_, Some(more), Some((command, output))) if output.is_empty() && command.ends_with('\\') => {
                command.push('\n');
                command.push_str(more);
            }
            (.., Some((_, output))) => {
                output.push_str(line);
                output.push('\n');
            }
            _ => panic!("a console block begins with a command: {line}"),
        }
    }
    commands
}

fn run(world: &World, directory: &Scratch, command: &str) -> String {
    let executables = Path::new(env!("CARGO_BIN_EXE_campaign")).parent().unwrap();
    let path = format!("{}:{}", executables.display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .args(["-c", &format!("exec 2>&1; {command}")])
        .current_dir(&directory.0)
        .envs(world.environment())
        .env("PATH", path)
        .env("RUST_LOG", "off")
        .output()
        .unwrap();
    let mut said = String::from_utf8(output.stdout).unwrap();
    if let Some(status) = output.status.code().filter(|status| *status != 0) {
        writeln!(said, "[exit status {status}]").unwrap();
    }
    said.lines().fold(String::new(), |text, line| text + line.trim_end() + "\n")
}

#[test]
fn the_commands_of_the_documentation_give_what_stands_below_them() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (mut world, directory) = (World::single(), Scratch::new());
    world.database.execute(
        "INSERT INTO suppressions (organization_id, email, reason)
         VALUES ('0a77c3d2-0000-4000-8000-000000000001', 'gone@example.com', 'bounce')",
        &[],
    );
    // SES refuses an address once and accepts it at the second attempt.
    let effect = Effect::Refuse {
        code: "MessageRejected".to_owned(),
        message: "Address blacklisted.".to_owned(),
        status: 400,
    };
    world.ses.add_rule(Rule::to_containing("@refused.example", effect).times(1));

    let mut rewritten = String::new();
    let mut differences = String::new();
    for (before, block) in blocks(&page) {
        rewritten.push_str(&before);
        if block.info.is_empty() && block.text.is_empty() {
            break;
        }
        let mut text = block.text.clone();
        if let Some((_, name)) = block.info.split_once(' ') {
            directory.file(name, &block.text);
        } else if block.info == "console" {
            text.clear();
            for (command, expected) in commands(&block.text) {
                let said = run(&world, &directory, &command);
                let same = without_times(&said) == without_times(&expected);
                if !same {
                    write!(differences, "$ {command}\nis documented as\n{expected}and gives\n{said}\n")
                        .unwrap();
                }
                let kept = if same { expected } else { said };
                write!(text, "$ {}\n{kept}", command.replace('\n', "\n> ")).unwrap();
            }
        }
        write!(rewritten, "```{}\n{text}```\n", block.info).unwrap();
    }
    if std::env::var_os("OVERWRITE_DOCS").is_some() {
        std::fs::write(path, rewritten).unwrap();
    } else {
        assert!(differences.is_empty(), "{differences}OVERWRITE_DOCS=1 writes it into docs/cli.md");
    }
}

/// A line of the demo without times, memory and names that differ each time.
fn without_what_varies(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let stable = words.iter().enumerate().map(|(at, word)| match *word {
        word if word.contains('/') || word.contains("127.0.0.1:") => "PLACE",
        word if word.starts_with("campaign_demo_") => "NAME",
        _ if words[at + 1..].starts_with(&["MB"]) || words[at + 1..].starts_with(&["emails", "per"]) => "N",
        word => word,
    });
    let stable = without_times(&stable.collect::<Vec<_>>().join(" "));
    // A batch of more than a second takes one more statement.
    if stable.starts_with("PostgreSQL ") { "PostgreSQL".to_owned() } else { stable }
}

#[test]
fn the_demo_of_the_readme_prints_what_stands_there() {
    let readme = include_str!("../../../README.md");
    let shown = readme.split("```text\n").nth(1).unwrap().split("\n```").next().unwrap();
    let (world, directory) = (World::new(), Scratch::new());
    let send_batch = crate::support::executable("send-batch");
    let send_batch = send_batch.to_str().unwrap();
    let said = run(&world, &directory, &format!("campaign demo --send-batch {send_batch} --emails emails"));
    let mut printed = said.lines().map(without_what_varies);
    for line in shown.lines().filter(|line| !line.is_empty() && *line != "…") {
        let line = without_what_varies(line);
        assert!(
            printed.any(|printed| printed == line),
            "it does not print, or not at that place: {line}\n{said}"
        );
    }
}
