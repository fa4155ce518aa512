//! Data in a CSV file that a spreadsheet would take for a formula.
//!
//! A field that begins with `=`, `+`, `-`, `@`, a tab or a line break gets a `'` before it, as OWASP advises
//! ("CSV Injection"); so does one that begins with such a character after `'` signs, so that removing one `'`
//! gives back the original field.

use std::borrow::Cow;

/// The field in the form in which it is written into a file.
pub fn escaped(field: &str) -> Cow<'_, str> {
    if is_formula(field.trim_start_matches('\'')) {
        Cow::Owned(format!("'{field}"))
    } else {
        Cow::Borrowed(field)
    }
}

/// The field in the form for a file that people open: not a formula, and harmless if the file is shown in a
/// terminal.
pub fn in_file(field: &str) -> String {
    super::output::shown_lines(&escaped(field)).into_owned()
}

/// The field as it was before [`escaped`].
pub fn plain(field: &str) -> &str {
    match field.strip_prefix('\'') {
        Some(rest) if is_formula(rest.trim_start_matches('\'')) => rest,
        _ => field,
    }
}

/// Full-width signs begin formulas, too, in Japanese spreadsheets.
fn is_formula(field: &str) -> bool {
    field.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formula_is_text_in_the_file_and_itself_again_when_it_is_read() {
        for formula in
            ["=cmd|'/c calc'!A0", "+1", "-1@example.com", "@SUM(1)", "\t=1", "\r=1", "'=1", "''=1", "＝1"]
        {
            assert!(escaped(formula).starts_with('\''), "{formula}");
            assert_eq!(plain(&escaped(formula)), formula);
        }
        for text in ["ada@example.com", "'ada'@example.com", "", "'", "o'neil=1@example.com"] {
            assert_eq!(escaped(text), text);
            assert_eq!(plain(text), text);
        }
    }
}
