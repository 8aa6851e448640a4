//! Workbooks: written by a library, and by hand where no library would.

use std::io::Cursor;

use rust_xlsxwriter::{ExcelDateTime, Format as Look, Formula, Workbook, Worksheet};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

fn workbook(fill: impl FnOnce(&mut Worksheet)) -> Vec<u8> {
    let mut book = Workbook::new();
    fill(book.add_worksheet());
    book.save_to_buffer().unwrap()
}

fn row(sheet: &mut Worksheet, row: u32, cells: &[&str]) {
    for (column, cell) in (0..).zip(cells) {
        sheet.write_string(row, column, *cell).unwrap();
    }
}

/// A workbook made of parts.
fn archive(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in parts {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// The least that is a workbook, with this sheet.
fn with_sheet(sheet: &[u8], texts: &[u8]) -> Vec<u8> {
    archive(&[
        (
            "[Content_Types].xml",
            br#"<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"></Types>"#,
        ),
        (
            "xl/workbook.xml",
            br#"<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="People" sheetId="1" r:id="rId1"/></sheets></workbook>"#,
        ),
        (
            "xl/_rels/workbook.xml.rels",
            br#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/></Relationships>"#,
        ),
        ("xl/sharedStrings.xml", texts),
        ("xl/worksheets/sheet1.xml", sheet),
    ])
}

#[test]
fn the_rows_of_a_workbook_are_read() {
    let bytes = workbook(|sheet| {
        row(sheet, 0, &["Name", "Phone", "City"]);
        row(sheet, 1, &["Ada", "+4915755512345", "London"]);
        sheet.write_string(3, 0, "Bob").unwrap();
        sheet.write_number(3, 1, 4_915_755_512_346_f64).unwrap();
    });
    let outcome = outcome(&bytes, &Options::default());
    assert_eq!(outcome.told(), "4915755512345 Ada; 4915755512346 Bob");
    assert_eq!(outcome.people[1].line, 4);
}

#[test]
fn what_a_spreadsheet_makes_of_numbers_is_named_with_its_row() {
    let bytes = workbook(|sheet| {
        row(sheet, 0, &["Name", "Phone"]);
        let date = ExcelDateTime::from_ymd(2024, 1, 31).unwrap();
        sheet
            .write_datetime_with_format(1, 1, &date, &Look::new().set_num_format("yyyy-mm-dd"))
            .unwrap();
        sheet.write_formula(2, 1, Formula::new("=1/0").set_result("#DIV/0!")).unwrap();
        sheet
            .write_formula(
                3,
                1,
                Formula::new("=\"+49\"&\"15755512345\"").set_result("+4915755512345"),
            )
            .unwrap();
        sheet.write_boolean(4, 1, true).unwrap();
        sheet.write_number(5, 1, 0.5).unwrap();
        row(sheet, 6, &["Bob"]);
    });
    let expected = "4915755512345 -; 2:phone_is_date; 3:formula_error; 5:phone_invalid; \
                    6:phone_country_missing; 7:phone_missing";
    assert_eq!(outcome(&bytes, &Options::default()).told(), expected);
}

#[test]
fn of_merged_cells_the_first_row_has_the_value() {
    let bytes = workbook(|sheet| {
        row(sheet, 0, &["Phone", "Name"]);
        sheet.merge_range(1, 0, 2, 0, "+4915755512345", &Look::new()).unwrap();
        sheet.write_string(1, 1, "Ada").unwrap();
        sheet.write_string(2, 1, "Bob").unwrap();
    });
    assert_eq!(outcome(&bytes, &Options::default()).told(), "4915755512345 Ada; 3:phone_missing");
}

#[test]
fn a_sheet_is_chosen_by_its_name() {
    let mut book = Workbook::new();
    row(book.add_worksheet().set_name("Notes").unwrap(), 0, &["nothing here"]);
    let sheet = book.add_worksheet().set_name("People").unwrap();
    row(sheet, 0, &["Phone"]);
    row(sheet, 1, &["+4915755512345"]);
    let bytes = book.save_to_buffer().unwrap();
    let of = |sheet: &str| Options { sheet: Some(sheet.to_owned()), ..Options::default() };
    assert_eq!(outcome(&bytes, &of("People")).told(), "4915755512345 -");
    assert_eq!(outcome(&bytes, &of("Persons")).told(), "!no_such_sheet");
    assert_eq!(outcome(&bytes, &Options::default()).told(), "!no_phone_column");
}

#[test]
fn a_workbook_that_unpacks_to_too_much_is_refused_before_it_is_parsed() {
    let texts = b"<sst>".to_vec();
    let sheet =
        |middle: &[u8]| [b"<worksheet><sheetData>", middle, b"</sheetData></worksheet>"].concat();
    // A shared text of two megabytes, two kilobytes when packed.
    let huge = [b"<sst><si><t>".as_slice(), &vec![b'x'; 2 << 20], b"</t></si></sst>"].concat();
    assert_eq!(
        outcome(&with_sheet(&sheet(b""), &huge), &Options::default()).told(),
        "!workbook_too_large"
    );
    // Many short ones.
    let many = [b"<sst>".as_slice(), &b"<si><t>x</t></si>".repeat(3 << 20), b"</sst>"].concat();
    assert_eq!(
        outcome(&with_sheet(&sheet(b""), &many), &Options::default()).told(),
        "!workbook_too_large"
    );
    // A cell of a megabyte.
    let cell = [
        b"<row r=\"1\"><c r=\"A1\" t=\"str\"><v>".as_slice(),
        &vec![b'1'; 1 << 20],
        b"</v></c></row>",
    ]
    .concat();
    assert_eq!(
        outcome(&with_sheet(&sheet(&cell), &texts), &Options::default()).told(),
        "!workbook_too_large"
    );
}

#[test]
fn a_workbook_that_is_cut_off_or_none_is_refused() {
    let bytes = workbook(|sheet| row(sheet, 0, &["Phone"]));
    let cut = &bytes[..bytes.len() / 2];
    assert_eq!(outcome(cut, &Options::default()).told(), "!workbook_damaged");
    let other = archive(&[("word/document.xml", b"<document/>")]);
    assert_eq!(outcome(&other, &Options::default()).told(), "!workbook_damaged");
    let broken = with_sheet(b"<worksheet><sheetData><row r=\"1\"><c", b"<sst></sst>");
    assert_eq!(outcome(&broken, &Options::default()).told(), "!workbook_damaged");
}
