//! Text in lines that fit a terminal.

use std::borrow::Cow;

use clap::CommandFactory as _;
use console::{Term, measure_text_width, strip_ansi_codes};

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

/// A text for a terminal of so many columns: lines that are longer are broken between words. What follows stands below
/// the last column of the line, if two spaces separate columns in it.
pub fn folded(text: &str, width: usize) -> Cow<'_, str> {
    if text.lines().all(|line| measure_text_width(line) <= width) {
        return Cow::Borrowed(text);
    }
    let fold = |line: &str| {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        // The terminal itself breaks a command, so that it can be copied.
        let is_command = || command_at_end(&format!(" {}", line.trim_start())) == Some(1);
        if measure_text_width(line) <= width || is_command() {
            return format!("{line}{end}");
        }
        let start = line.len() - line.trim_start_matches(' ').len();
        let columns = [line.rfind("  ").map_or(0, |at| at + 2), start];
        let place = |at: &usize| measure_text_width(&line[..*at]);
        let at = columns.into_iter().find(|at| place(at) <= width / 2).unwrap_or_default();
        let indentation = place(&at);
        let parts = sentence(&line[at..], width.saturating_sub(indentation));
        line[..at].to_owned() + &parts.join(&format!("\n{:indentation$}", "")) + end
    };
    Cow::Owned(text.split_inclusive('\n').map(fold).collect())
}

/// A message for standard error: in a terminal it is broken between words, elsewhere it is one line.
pub fn for_standard_error(text: &str) -> String {
    let columns = Term::stderr().size_checked().map_or(usize::MAX, |(_, columns)| columns.into());
    // The name of the program does not stand alone.
    let text = text.replacen("campaign: ", "campaign:\u{a0}", 1);
    sentence(&text, columns).join("\n").replacen('\u{a0}', " ", 1)
}

/// Several lines for standard error, with our own styles only where a terminal shows them.
pub fn block_for_standard_error(text: &str) -> String {
    let text =
        if console::colors_enabled_stderr() { text.to_owned() } else { strip_ansi_codes(text).into_owned() };
    match Term::stderr().size_checked() {
        Some((_, columns)) => folded(&text, columns.into()).into_owned(),
        None => text,
    }
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
    fn a_long_line_is_broken_between_words_below_its_last_column() {
        let text = "Short.\n      12  bad_address  for example line 3: it is not of the form local@domain\n\nOne that is longer than all the others\n";
        let folded = folded(text, 30);
        assert_eq!(
            folded,
            "Short.\n      12  bad_address  for\n      example line 3: it is\n      not of the form\n      local@domain\n\nOne that is longer than all\nthe others\n"
        );
        assert!(matches!(super::folded("Short.\n", 30), Cow::Borrowed(_)));
        assert_eq!(
            super::folded("warning  http: the link uses http", 22),
            "warning  http: the\n         link uses\n         http"
        );
        let id = "5f0c2b1e-7d34-4c8a-9b61-2f7e0a4d9c35";
        for command in
            [format!("campaign status {id}\n"), format!("  campaign retry-failed {id} --code render\n")]
        {
            assert_eq!(super::folded(&command, 20), command);
        }
        assert_eq!(
            super::folded(&format!("Why: campaign status {id}\n"), 20),
            format!("Why:\ncampaign status {id}\n")
        );
    }

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
