//! Recipients as lines of CSV.

use std::borrow::Cow;

use service::Problem;

use super::Shown;

const COLUMNS: [&str; 14] = [
    "n",
    "id",
    "contact",
    "phone",
    "user",
    "name",
    "state",
    "delivery",
    "reason",
    "error_code",
    "accepted_at",
    "sent_at",
    "delivered_at",
    "read_at",
];

/// The first line.
pub(super) fn header() -> Vec<u8> {
    let mut line = COLUMNS.join(",").into_bytes();
    line.extend(b"\r\n");
    line
}

/// Appends a recipient's line.
pub(super) fn write(text: &mut Vec<u8>, shown: &Shown) -> Result<(), Problem> {
    let optional = |text: &Option<String>| text.clone().unwrap_or_default();
    let cells: [String; COLUMNS.len()] = [
        shown.n.to_string(),
        shown.id.to_string(),
        shown.contact.to_string(),
        optional(&shown.phone),
        optional(&shown.user),
        optional(&shown.name),
        shown.state.clone(),
        shown.delivery.unwrap_or_default().to_owned(),
        optional(&shown.reason),
        shown.error_code.map(|code| code.to_string()).unwrap_or_default(),
        optional(&shown.accepted_at),
        optional(&shown.sent_at),
        optional(&shown.delivered_at),
        optional(&shown.read_at),
    ];
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(text);
    let cells = cells.iter().map(|cell| harmless(cell).into_owned());
    writer.write_record(cells).map_err(Problem::internal)?;
    writer.flush().map_err(Problem::internal)
}

/// A spreadsheet takes a cell that begins like a formula for one, and people choose their own names:
/// an apostrophe in front makes it text (OWASP, CSV injection).
fn harmless(cell: &str) -> Cow<'_, str> {
    match cell.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{cell}").into(),
        false => cell.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_taken_for_a_formula() {
        for cell in ["=1+1", "+49", "-1", "@SUM(A1)", "\tx", "\rx"] {
            assert_eq!(harmless(cell), format!("'{cell}"));
        }
        assert_eq!(harmless("Ada = 1"), "Ada = 1");
    }
}
