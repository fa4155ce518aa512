//! Text in lines that fit a terminal.

use clap::CommandFactory as _;
use console::{Term, measure_text_width};

/// Words in lines of at most so many columns; a word that is longer has a line of its own.
pub fn fitted<'a>(words: impl Iterator<Item = &'a str>, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if measure_text_width(line) + 1 + measure_text_width(word) <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A sentence in lines of at most so many columns. A command at its end, which is there to be copied, is neither cut
/// off nor broken.
pub fn sentence(text: &str, room: usize) -> Vec<String> {
    match command_at_end(text) {
        Some(at) => fitted(text[..at].trim_end().split(' ').chain([&text[at..]]), room),
        None => fitted(text.split(' '), room),
    }
}

/// A message for standard error: in a terminal it is broken between words, elsewhere it is one line.
pub fn for_standard_error(text: &str) -> String {
    let columns = Term::stderr().size_checked().map_or(usize::MAX, |(_, columns)| columns.into());
    // The name of the program does not stand alone.
    let text = text.replacen("campaign: ", "campaign:\u{a0}", 1);
    sentence(&text, columns).join("\n").replacen('\u{a0}', " ", 1)
}

/// The place of the last command of this program that is named in a text.
fn command_at_end(text: &str) -> Option<usize> {
    let commands = super::Cli::command();
    let is_command = |at: &usize| {
        let word = text[at + "campaign ".len()..].split(' ').next().unwrap_or_default();
        commands.get_subcommands().any(|command| command.get_name() == word)
    };
    text.match_indices("campaign ")
        .map(|(at, _)| at)
        .filter(|at| *at > 0 && text[..*at].ends_with(' '))
        .filter(is_command)
        .last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_at_the_end_is_in_one_line_and_all_other_lines_fit() {
        let text = "campaign 5f0c2b1e-7d34-4c8a-9b61-2f7e0a4d9c35 is paused (bounces): mend what is wrong, then campaign send resume 5f0c2b1e-7d34-4c8a-9b61-2f7e0a4d9c35";
        let lines = sentence(text, 60);
        assert_eq!(lines.join(" "), text);
        let (command, others) = lines.split_last().unwrap();
        assert_eq!(command, "campaign send resume 5f0c2b1e-7d34-4c8a-9b61-2f7e0a4d9c35");
        assert!(others.len() == 2 && others.iter().all(|line| line.len() <= 60), "{lines:?}");
        // A campaign is not a command.
        let text =
            "there is no campaign 5f0c2b1e-7d34-4c8a-9b61-2f7e0a4d9c35 in this database, or in any other";
        assert!(sentence(text, 60).iter().all(|line| line.len() <= 60));
    }
}
