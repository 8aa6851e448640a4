use std::io::{Seek, SeekFrom, Write};

use super::*;
use crate::import::phone::Country;

/// What a file came to.
#[derive(Debug, Default)]
struct Outcome {
    people: Vec<Person>,
    rejects: Vec<Reject>,
    understood: Option<Understood>,
    error: Option<FileError>,
}

impl Outcome {
    /// In a few words: who was read, which lines were left out and why, and why the file was.
    fn told(&self) -> String {
        let people = self.people.iter().map(|person| {
            let name = person.name.as_deref().unwrap_or("-");
            format!("{} {name}", person.wa_id.as_str())
        });
        let rejects = self.rejects.iter().map(|reject| format!("{}:{}", reject.line, reject.code));
        let error = self.error.iter().map(|error| match error {
            FileError::Unfit { code, .. } => format!("!{code}"),
            other => format!("!{other:?}"),
        });
        people.chain(rejects).chain(error).collect::<Vec<_>>().join("; ")
    }
}

fn outcome(bytes: &[u8], options: &Options) -> Outcome {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    outcome_of(file, options)
}

fn outcome_of(file: File, options: &Options) -> Outcome {
    let mut outcome = Outcome::default();
    let ended = read(file, options, Arc::default(), &mut |item| {
        match item {
            Item::Understood(understood) => outcome.understood = Some(understood),
            Item::Person(person) => outcome.people.push(*person),
            Item::Reject(reject) => outcome.rejects.push(reject),
        }
        Ok(())
    });
    outcome.error = ended.err();
    outcome
}

fn germany() -> Options {
    let default_country = Country::try_from("DE".to_owned()).ok();
    Options { default_country, ..Options::default() }
}

fn utf_16(text: &str, is_little: bool, has_mark: bool) -> Vec<u8> {
    let mark = has_mark.then_some('\u{feff}');
    let units: Vec<u16> =
        mark.into_iter().chain(text.chars()).collect::<String>().encode_utf16().collect();
    units
        .iter()
        .flat_map(|unit| if is_little { unit.to_le_bytes() } else { unit.to_be_bytes() })
        .collect()
}

fn latin_1(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

const A: &str = "4915755512345";
const GOOD: &str = "phone,name\n+4915755512345,Ada\n";

/// Files that programs and people really make, good and bad: name, bytes, and what comes of them.
#[expect(clippy::too_many_lines, reason = "a table of files")]
fn cases() -> Vec<(&'static str, Vec<u8>, String)> {
    let ada = format!("{A} Ada");
    let text = |text: &str| text.as_bytes().to_vec();
    let long = "x".repeat(LONGEST + 10);
    vec![
        // Encodings.
        ("plain", text(GOOD), ada.clone()),
        ("utf-8 with a mark", [b"\xef\xbb\xbf", GOOD.as_bytes()].concat(), ada.clone()),
        ("utf-16le with a mark", utf_16(GOOD, true, true), ada.clone()),
        ("utf-16be with a mark", utf_16(GOOD, false, true), ada.clone()),
        ("utf-16le without", utf_16(GOOD, true, false), ada.clone()),
        ("utf-16be without", utf_16(GOOD, false, false), ada.clone()),
        ("latin-1", latin_1("phone,name\n+4915755512345,Jürgen\n"), format!("{A} Jürgen")),
        (
            "one broken line in utf-8",
            [b"phone,name\n+4915755512345,J\xc3\xbcrgen\n+4915755512346,J\xfcrgen\n".as_slice()]
                .concat(),
            format!("{A} Jürgen; 3:encoding"),
        ),
        (
            "a nul in a line",
            text("phone,name\n+4915755512345,A\0da\n+4915755512345,Ada\n"),
            format!("{ada}; 2:nul"),
        ),
        // Separators and lines.
        ("semicolons", text("phone;name\n+4915755512345;Ada\n"), ada.clone()),
        ("tabs", text("phone\tname\n+4915755512345\tAda\n"), ada.clone()),
        ("bars", text("phone|name\n+4915755512345|Ada\n"), ada.clone()),
        ("excel's own line", text("sep=;\nphone;name\n+4915755512345;Ada\n"), ada.clone()),
        ("crlf", text("phone,name\r\n+4915755512345,Ada\r\n"), ada.clone()),
        ("cr alone", text("phone,name\r+4915755512345,Ada\r"), ada.clone()),
        (
            "mixed ends",
            text("phone,name\r\n\n+4915755512345,Ada\r+12,B\n"),
            format!("{ada}; 4:phone_too_short"),
        ),
        ("no end at the end", text("phone,name\n+4915755512345,Ada"), ada.clone()),
        ("empty lines", text("\n\nphone,name\n\n   \n+4915755512345,Ada\n\n"), ada.clone()),
        ("lines of commas", text("phone,name\n,\n,,,\n+4915755512345,Ada\n"), ada.clone()),
        // Quotes.
        ("quoted", text("\"phone\",\"name\"\n\"+4915755512345\",\"Ada\"\n"), ada.clone()),
        (
            "a comma in quotes",
            text("phone,name\n+4915755512345,\"Ada, Lady\"\n"),
            format!("{A} Ada, Lady"),
        ),
        (
            "quotes in quotes",
            text("phone,name\n+4915755512345,\"Ada \"\"A\"\"\"\n"),
            format!("{A} Ada \"A\""),
        ),
        (
            "a quote within",
            text("phone,name\n+4915755512345,Ada \"A\"\n"),
            format!("{A} Ada \"A\""),
        ),
        (
            "a break in quotes",
            text("phone,name,note\n+4915755512345,Ada,\"two\nlines\"\n+1x,B,\n"),
            format!("{ada}; 4:phone_invalid"),
        ),
        (
            "a name of two lines",
            text("phone,name\n+4915755512345,\"A\nda\"\n+4915755512345,Ada\n"),
            format!("{ada}; 2:invalid_name"),
        ),
        (
            "an open quote",
            text("phone,name\n+4915755512346,\"Bob\n+4915755512345,Ada\n"),
            format!("{ada}; 2:quote_not_closed"),
        ),
        (
            "an open quote at the end",
            text("phone,name\n+4915755512345,Ada\n+4915755512346,\"Bob"),
            format!("{ada}; 3:quote_not_closed"),
        ),
        (
            "a quote in the header",
            text("\"phone,name\n+4915755512345,Ada\n"),
            "!header_unreadable".into(),
        ),
        // Sizes.
        (
            "a long line",
            text(&format!("phone,name\n+4915755512346,{long}\n+4915755512345,Ada\n")),
            format!("{ada}; 2:line_too_long"),
        ),
        (
            "a long header",
            text(&format!("phone,{long}\n+4915755512345,Ada\n")),
            "!header_unreadable".into(),
        ),
        (
            "many values",
            text(&format!("phone,name\n+4915755512346{}\n+4915755512345,Ada\n", ",x".repeat(600))),
            format!("{ada}; 2:too_many_values"),
        ),
        (
            "a value too much",
            text("phone,name\n+4915755512346,Ada,x\n+4915755512345,Ada\n"),
            format!("{ada}; 2:too_many_values"),
        ),
        ("a value too few", text("name,phone,city\nAda,+4915755512345\n"), ada.clone()),
        (
            "a long name",
            text(&format!("phone,name\n+4915755512346,{}\n+4915755512345,Ada\n", "n".repeat(101))),
            format!("{ada}; 2:invalid_name"),
        ),
        (
            "a long attribute",
            text(&format!(
                "phone,name,note\n+4915755512346,B,{}\n+4915755512345,Ada,\n",
                "n".repeat(1025)
            )),
            format!("{ada}; 2:value_too_long"),
        ),
        (
            "a long tag",
            text(&format!(
                "phone,name,tags\n+4915755512346,B,{}\n+4915755512345,Ada,vip\n",
                "n".repeat(65)
            )),
            format!("{ada}; 2:invalid_tag"),
        ),
        ("nothing", vec![], "!empty_file".into()),
        ("blanks", text(" \n\n\t\n"), "!empty_file".into()),
        ("a header alone", text("phone,name\n"), String::new()),
        // Headers.
        ("no header", text("+4915755512345,Ada\n+4915755512346,Bob\n"), "!no_header".into()),
        (
            "a list of numbers",
            text("+4915755512345\n+4915755512346\n"),
            format!("{A} -; 4915755512346 -"),
        ),
        ("no column of numbers", text("name,city\nAda,London\n"), "!no_phone_column".into()),
        (
            "the same column twice",
            text("phone,name,city,City\n+4915755512345,Ada,a,b\n"),
            "!duplicate_column".into(),
        ),
        (
            "numbers twice",
            text("phone,phone,name\n+4915755512345,+4915755512345,Ada\n"),
            "!duplicate_column".into(),
        ),
        ("an empty header", text("phone,,name\n+4915755512345,x,Ada\n"), ada.clone()),
        ("a header of blanks around", text(" Phone , NAME \n+4915755512345,Ada\n"), ada.clone()),
        ("html", text("<html><body>not found</body></html>"), "!no_phone_column".into()),
        ("a text", text("Dear Sir or Madam\nplease find\n"), "!no_phone_column".into()),
        // Numbers.
        (
            "no number",
            text("phone,name\n,Bob\n+4915755512345,Ada\n"),
            format!("{ada}; 2:phone_missing"),
        ),
        (
            "a number as a number",
            text("phone,name\n4.91576E+12,Bob\n+4915755512345,Ada\n"),
            format!("{ada}; 2:phone_scientific"),
        ),
        (
            "a date",
            text("phone,name\n2024-01-31,Bob\n+4915755512345,Ada\n"),
            format!("{ada}; 2:phone_is_date"),
        ),
        (
            "+00",
            text("phone,name\n+00,Bob\n+4915755512345,Ada\n"),
            format!("{ada}; 2:phone_country_unknown"),
        ),
        (
            "letters",
            text("phone,name\n+49CALLME,Bob\n+4915755512345,Ada\n"),
            format!("{ada}; 2:phone_invalid"),
        ),
        (
            "emoji",
            text("phone,name\n📞,Bob\n+4915755512345,Ada\n"),
            format!("{ada}; 2:phone_invalid"),
        ),
        (
            "two numbers",
            text("phone;name\n+4915755512345, +4915755512346;Bob\n+4915755512345;Ada\n"),
            format!("{ada}; 2:phone_several"),
        ),
        ("a number of the country", text("phone,name\n0157 55512345,Ada\n"), ada.clone()),
        (
            "a formula around a number",
            text("phone,name\n\"=\"\"+4915755512345\"\"\",Ada\n"),
            ada.clone(),
        ),
        (
            "a formula",
            text("phone,name\n=A2+B2,Bob\n+4915755512345,Ada\n"),
            format!("{ada}; 2:phone_invalid"),
        ),
        (
            "an error of a formula",
            text("phone,name\n#REF!,Bob\n+4915755512345,Ada\n"),
            format!("{ada}; 2:formula_error"),
        ),
        ("a name like a formula", text("phone,name\n+4915755512345,=1+1\n"), format!("{A} =1+1")),
        ("a name of emoji", text("phone,name\n+4915755512345,🦀\n"), format!("{A} 🦀")),
        // Other formats.
        (
            "an old workbook",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1....".to_vec(),
            "!unknown_format".into(),
        ),
        ("gzip", b"\x1f\x8b\x08\x00....".to_vec(), "!unknown_format".into()),
        ("a pdf", b"%PDF-1.7 ....".to_vec(), "!unknown_format".into()),
        (
            "an archive that is none",
            b"PK\x03\x04 nothing more".to_vec(),
            "!workbook_damaged".into(),
        ),
        (
            "ndjson",
            text("{\"phone\":\"+4915755512345\",\"name\":\"Ada\"}\n\n{\"phone\":\"x\"}\n"),
            format!("{ada}; 3:phone_invalid"),
        ),
        (
            "ndjson that is none",
            text("{\"phone\":\"+4915755512345\",\"name\":\"Ada\"}\n{\"phone\":\n[]\n"),
            format!("{ada}; 2:invalid_json; 3:invalid_json"),
        ),
        (
            "ndjson of other people",
            text("{\"phone\":\"+4915755512345\",\"nme\":\"Ada\"}\n"),
            "1:invalid_json".into(),
        ),
        (
            "ndjson with a deep value",
            text("{\"phone\":\"+4915755512345\",\"attributes\":{\"a\":{\"b\":1}}}\n"),
            "1:invalid_json".into(),
        ),
    ]
}

#[test]
fn every_file_is_read_or_refused_with_line_and_reason() {
    let cases = cases();
    assert!(cases.len() >= 60, "{}", cases.len());
    for (name, bytes, expected) in cases {
        assert_eq!(outcome(&bytes, &germany()).told(), expected, "{name}");
    }
}

#[test]
fn what_is_refused_says_what_to_do() {
    for (name, bytes, _) in cases() {
        let outcome = outcome(&bytes, &germany());
        for reject in outcome.rejects {
            assert!(reject.detail.len() > 15 && reject.line > 0, "{name}: {reject:?}");
        }
        if let Some(error) = outcome.error {
            assert!(error.to_string().len() > 15, "{name}: {error}");
        }
    }
}

#[test]
fn columns_are_mapped_as_somebody_says() {
    let options: Options = serde_json::from_value(serde_json::json!({
        "mapping": { "phone": "Mobile", "name": ["First", "Last"], "tags": "Groups",
                     "attributes": { "city": "Stadt" } },
    }))
    .unwrap();
    let text = "First,Last,Phone,Mobile,Groups,Stadt,Secret\nAda,Lovelace,1,+4915755512345,\"vip, math\",London,x\n";
    let outcome = outcome(text.as_bytes(), &options);
    let person = &outcome.people[0];
    assert_eq!(person.name.as_deref(), Some("Ada Lovelace"));
    assert_eq!(
        person.tags.iter().map(crate::import::person::Tag::as_str).collect::<Vec<_>>(),
        ["math", "vip"]
    );
    let attributes = serde_json::to_value(&person.attributes).unwrap();
    assert_eq!(attributes, serde_json::json!({ "city": "London" }));
    let understood = serde_json::to_value(outcome.understood.unwrap()).unwrap();
    assert_eq!(understood["columns"]["Stadt"], "attributes.city");
    assert_eq!(understood["ignored"], serde_json::json!(["Phone", "Secret"]));
}

#[test]
fn a_column_that_is_not_there_is_named_with_those_that_are() {
    let options = |mapping: serde_json::Value| -> Options {
        serde_json::from_value(serde_json::json!({ "mapping": mapping })).unwrap()
    };
    let options = options(serde_json::json!({ "phone": "Handy" }));
    let outcome = outcome(GOOD.as_bytes(), &options);
    let error = outcome.error.unwrap().to_string();
    assert_eq!(error, "line 1: no column is called 'Handy'; there are 'phone', 'name'");
}

#[test]
fn a_line_of_a_gigabyte_takes_no_memory() {
    // A file with a hole: nothing of it is on the disk.
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"phone,name\n+4915755512345,").unwrap();
    file.seek(SeekFrom::Start(1 << 30)).unwrap();
    file.write_all(b"\n+4915755512345,Ada\n").unwrap();
    file.rewind().unwrap();
    let outcome = outcome_of(file, &Options::default());
    assert_eq!(outcome.told(), format!("{A} Ada; 2:line_too_long"));
}

#[test]
fn reading_stops_when_nobody_wants_to_know() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(GOOD.as_bytes()).unwrap();
    file.rewind().unwrap();
    let ended = read(file, &Options::default(), Arc::default(), &mut |_| Err(FileError::Stopped));
    assert!(matches!(ended, Err(FileError::Stopped)));
}

mod workbooks;
