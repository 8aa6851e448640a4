//! Phone numbers as people write them.

use kernel::WaId;

/// Reads an international phone number: E.164 with `+` or `00` or neither, spaces, dashes, dots,
/// slashes and parentheses between the digits. Returns its digits, as a [`WaId`] has them.
///
/// `None` for anything else: fewer than 7 or more than 15 digits (ITU-T E.164), a national number
/// with its leading zero, other characters.
pub fn phone(text: &str) -> Option<String> {
    let mut digits = String::with_capacity(16);
    let mut has_plus = false;
    for c in text.trim().chars() {
        match c {
            '0'..='9' => digits.push(c),
            '+' if digits.is_empty() && !has_plus => has_plus = true,
            ' ' | '-' | '.' | '/' | '(' | ')' | '\u{a0}' => (),
            _ => return None,
        }
    }
    let number = if has_plus { &digits } else { digits.strip_prefix("00").unwrap_or(&digits) };
    let is_number = (7..=15).contains(&number.len()) && !number.starts_with('0');
    is_number.then(|| WaId::new(number).into_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_however_it_is_written() {
        for text in ["+4915755512345", "4915755512345", "0049 157 555-123.45", " +49(157)55512345 "]
        {
            assert_eq!(phone(text).as_deref(), Some("4915755512345"), "{text}");
        }
    }

    #[test]
    fn a_number_of_brazil_or_mexico_is_one_in_both_its_forms() {
        assert_eq!(phone("+55 11 8765-4321"), phone("+55 11 98765-4321"));
        assert_eq!(phone("+52 1 55 1234 5678"), phone("+52 55 1234 5678"));
    }

    #[test]
    fn what_is_no_international_number_is_none() {
        let long = "+1234567890123456";
        for text in
            ["", "+", "015755512345", "+0157555", "12345", long, "+49157x5512345", "++491575551"]
        {
            assert_eq!(phone(text), None, "{text}");
        }
    }
}
