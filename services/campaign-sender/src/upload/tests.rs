use super::*;

/// What became of each line that was not empty and no header.
fn read(file: &[u8], chunk: usize) -> Vec<(i32, Result<Person, BadLine>)> {
    let (mut lines, mut table, mut found) = (Lines::default(), Table::default(), Vec::new());
    let mut take = |line: Line| {
        if let Some(outcome) = table.read(&line).transpose() {
            found.push((line.number, outcome));
        }
    };
    for chunk in file.chunks(chunk) {
        lines.push(chunk).into_iter().for_each(&mut take);
    }
    lines.finish().into_iter().for_each(&mut take);
    found
}

fn numbers(file: &str) -> Vec<String> {
    let people = read(file.as_bytes(), 7).into_iter();
    people.map(|(_, person)| person.unwrap().wa_id.as_str().to_owned()).collect()
}

fn codes(file: &[u8]) -> Vec<(i32, &'static str)> {
    let outcomes = read(file, 5_000).into_iter();
    outcomes
        .map(|(line, outcome)| (line, outcome.map_or_else(|bad| bad.code(), |_| "ok")))
        .collect()
}

#[test]
fn one_number_a_line_needs_no_header() {
    let file = "+4915755512345\r\n\n 0049 1575 5512346\n'+4915755512347";
    assert_eq!(numbers(file), ["4915755512345", "4915755512346", "4915755512347"]);
}

#[test]
fn a_header_says_what_columns_mean_however_they_are_parted() {
    for delimiter in [',', ';', '\t'] {
        let file = "\u{feff}City,Phone Number,Name\nBerlin,+4915755512345,\"Lovelace \"\"A\"\"\"\n"
            .replace(',', &delimiter.to_string());
        let person = read(file.as_bytes(), 3).remove(0).1.unwrap();
        assert_eq!((person.line, person.wa_id.as_str()), (2, "4915755512345"));
        assert_eq!(person.name.as_deref(), Some("Lovelace \"A\""));
        assert_eq!(person.attributes, BTreeMap::from([("city".to_owned(), "Berlin".to_owned())]));
    }
}

#[test]
fn a_hostile_line_costs_itself_and_no_more() {
    let mut file = b"phone,name\n+4915755512345,A\n+4915755512346,\"open\n".to_vec();
    file.extend(std::iter::repeat_n(b'x', 10 * lines::LONGEST));
    file.extend(b"\n+49157\x0055512347,B\n\xff\xfe,C\nhello,D\n");
    file.extend(format!("+4915755512348,{}\n", "n".repeat(201)).as_bytes());
    file.extend(format!("+4915755512349{}\n", ",x".repeat(60)).as_bytes());
    file.extend(b"+4915755512350,Z");
    let expected = [
        (2, "ok"),
        (3, "quote_not_closed"),
        (4, "too_long"),
        (5, "nul"),
        (6, "encoding"),
        (7, "invalid_phone"),
        (8, "name_too_long"),
        (9, "too_many_columns"),
        (10, "ok"),
    ];
    assert_eq!(codes(&file), expected);
}

#[test]
fn values_are_cut_at_delimiters_outside_of_quotes() {
    let read = |line| cells(line, b',').unwrap();
    assert_eq!(
        read("a,,\"b,c\",\"say \"\"hi\"\"\",5\" pipe,"),
        ["a", "", "b,c", "say \"hi\"", "5\" pipe", ""]
    );
    assert_eq!(read("\"\",\"x\"y"), ["", "xy"]);
    assert_eq!(cells("a,\"b,c", b','), Err(BadLine::Quote));
    assert_eq!(cells("\"\"\"", b','), Err(BadLine::Quote));
}

#[test]
fn memory_holds_one_line_whatever_the_file_is() {
    let mut lines = Lines::default();
    for _ in 0..1_000 {
        assert!(lines.push(&[b'x'; 4_096]).is_empty());
    }
    assert!(lines.begun.capacity() <= lines::LONGEST);
}
