//! Phone numbers as people write them.

use kernel::WaId;

/// E.164 allows 15 digits; the shortest numbers of a country have 4 behind its code.
const DIGITS: std::ops::RangeInclusive<usize> = 5..=15;

/// Reads an international number: `+49 30 555-012.00`, `0049 30 …`. The apostrophe that keeps a
/// spreadsheet from counting with it is left out.
pub(crate) fn read(text: &str) -> Option<WaId> {
    let text = text.trim().trim_start_matches('\'');
    let rest = text.strip_prefix('+').or_else(|| text.strip_prefix("00"))?;
    let digits = rest.replace([' ', '\u{a0}', '-', '.', '(', ')', '/'], "");
    let is_fit = DIGITS.contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0');
    is_fit.then(|| WaId::new(digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_as_people_write_it() {
        for text in ["+493055501200", "'+49 (30) 555-012.00", "0049 30/55501200", " +49 3055501200"]
        {
            assert_eq!(read(text), Some(WaId::new("493055501200")), "{text}");
        }
        for text in
            ["", "+", "493055501200", "030 55501200", "+0123456", "+1234567890123456", "+4930x"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
