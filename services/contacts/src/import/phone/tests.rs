use super::*;

fn country(text: &str) -> Option<Country> {
    (!text.is_empty()).then(|| Country::try_from(text.to_owned()).unwrap())
}

#[test]
fn a_number_is_read_however_it_is_written() {
    for (text, default, expected) in [
        ("+4915755512345", "", "4915755512345"),
        ("4915755512345", "", "4915755512345"),
        ("0049 157 555-123.45", "", "4915755512345"),
        ("+49 (0) 157 555 12345", "", "4915755512345"),
        (" '+49(157)55512345 ", "", "4915755512345"),
        ("=\"+4915755512345\"", "", "4915755512345"),
        ("tel:+49-157-555-12345", "", "4915755512345"),
        ("whatsapp:+4915755512345", "", "4915755512345"),
        ("\u{202a}+49 157 55512345\u{202c}", "", "4915755512345"),
        ("+49\u{a0}157\u{2011}55512345", "", "4915755512345"),
        ("4915755512345.0", "", "4915755512345"),
        ("0157 55512345", "DE", "4915755512345"),
        ("157 55512345", "DE", "4915755512345"),
        ("4915755512345", "DE", "4915755512345"),
        ("+34612345678", "DE", "34612345678"),
        ("0034 612 345 678", "DE", "34612345678"),
        ("(11) 98765-4321", "BR", "5511987654321"),
        ("(11) 8765-4321", "BR", "5511987654321"),
        ("+551187654321", "", "5511987654321"),
        ("55 1234 5678", "MX", "525512345678"),
        ("+52 1 55 1234 5678", "", "525512345678"),
        ("٠١٠٢٣٤٥٦٧٨٩", "EG", "201023456789"),
        ("＋８１９０１２３４５６７８", "", "819012345678"),
        ("(415) 555-2671", "US", "14155552671"),
        ("1 415 555 2671", "US", "14155552671"),
    ] {
        let read = read(text, country(default));
        assert_eq!(read.as_ref().map(WaId::as_str), Ok(expected), "{text} {default}");
    }
}

#[test]
fn what_is_no_number_says_why() {
    for (text, default, expected) in [
        ("", "", "phone_missing"),
        ("  ", "", "phone_missing"),
        ("n/a", "", "phone_invalid"),
        ("+", "", "phone_invalid"),
        ("+49157555123x5", "", "phone_invalid"),
        ("call me", "DE", "phone_invalid"),
        ("📞", "", "phone_invalid"),
        ("+49 157 555 😀", "", "phone_invalid"),
        ("4.91756E+11", "", "phone_scientific"),
        ("4,91756E+11", "DE", "phone_scientific"),
        ("2024-01-31", "", "phone_is_date"),
        ("31.01.2024", "DE", "phone_is_date"),
        ("1/31/24", "US", "phone_is_date"),
        ("2024-01-31 00:00:00", "", "phone_is_date"),
        ("015755512345", "", "phone_country_missing"),
        ("+00", "", "phone_country_unknown"),
        ("+0015755512345", "", "phone_country_unknown"),
        ("000", "", "phone_country_unknown"),
        ("+999123456789", "", "phone_country_unknown"),
        ("+4915755512345, +4915755512346", "", "phone_several"),
        ("+4915755512345;+4915755512346", "", "phone_several"),
        ("+4915755512345 +4915755512346", "", "phone_several"),
        ("+4912", "", "phone_too_short"),
        ("12", "DE", "phone_too_short"),
        ("+1415555267123", "", "phone_too_long"),
        ("+49157555123451234567890", "", "phone_too_long"),
    ] {
        let read = read(text, country(default));
        assert_eq!(read.as_ref().map_err(NoNumber::code), Err(expected), "{text} {default}");
    }
}
