//! Lines of CSV that no spreadsheet takes for formulas.

use std::borrow::Cow;

/// Appends a line (RFC 4180).
pub(crate) fn line<'a>(text: &mut Vec<u8>, cells: impl IntoIterator<Item = &'a str>) {
    for (place, cell) in cells.into_iter().enumerate() {
        if place > 0 {
            text.push(b',');
        }
        let cell = harmless(cell);
        if cell.contains([',', '"', '\r', '\n', ';', '\t']) {
            text.push(b'"');
            text.extend_from_slice(cell.replace('"', "\"\"").as_bytes());
            text.push(b'"');
        } else {
            text.extend_from_slice(cell.as_bytes());
        }
    }
    text.extend_from_slice(b"\r\n");
}

/// A spreadsheet takes a cell that begins like a formula for one, and people choose their own names: an
/// apostrophe in front makes it text (OWASP, CSV injection). An import leaves it out again.
fn harmless(cell: &str) -> Cow<'_, str> {
    if is_formula(cell) { format!("'{cell}").into() } else { cell.into() }
}

/// Whether a spreadsheet takes it for one.
pub(crate) fn is_formula(cell: &str) -> bool {
    const BEGINNINGS: [char; 10] =
        ['=', '+', '-', '@', '\t', '\r', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];
    cell.starts_with(BEGINNINGS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_taken_for_a_formula() {
        for cell in ["=1+1", "+49", "-1", "@SUM(A1)", "\tx", "\rx", "＝1"] {
            assert_eq!(harmless(cell), format!("'{cell}"));
        }
        assert_eq!(harmless("Ada = 1"), "Ada = 1");
    }

    #[test]
    fn what_would_break_a_line_is_quoted() {
        let mut text = Vec::new();
        line(&mut text, ["a", "b,c", "d\"e", "f\r\ng", "=h;i", ""]);
        let expected = "a,\"b,c\",\"d\"\"e\",\"f\r\ng\",\"'=h;i\",\r\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}
