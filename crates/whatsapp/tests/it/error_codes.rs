//! The table of error codes against a second list, made apart from it from the same pages of Meta.

use insta::assert_snapshot;
use whatsapp::ErrorClass;
use whatsapp::error_class::{advice, classify, table_markdown};

/// Codes and the letter of their class: R retry, S slow the connection, SP slow the pair, P pause, X this
/// recipient, T this template, Q our request, A authorisation, ? ambiguous. Of several the first.
const LISTED: &[(&str, &str)] = &[
    ("0", "A"),
    ("3", "A"),
    ("10", "A"),
    ("190", "A"),
    ("200–299", "A"),
    ("131005", "A"),
    ("100 / subcode 33", "A"),
    ("33", "A"),
    ("102, 104", "A"),
    ("803", "A"),
    ("4", "S"),
    ("17", "S"),
    ("32", "S"),
    ("341", "S"),
    ("613", "S"),
    ("80007", "S"),
    ("80008", "S"),
    ("130429", "S"),
    ("131048", "P"),
    ("131056", "SP"),
    ("131064", "P"),
    ("133016", "P"),
    ("131208", "SP"),
    ("138005, 138009, 138012", "SP"),
    ("368", "P"),
    ("131031", "P"),
    ("130497", "X"),
    ("131042", "P"),
    ("131037", "P"),
    ("131045", "P"),
    ("131057", "R"),
    ("133000", "P"),
    ("133004", "?"),
    ("133006", "P"),
    ("133010", "P"),
    ("134011", "P"),
    ("131063", "P"),
    ("139200", "P"),
    ("141010", "P"),
    ("2494100", "R"),
    ("131021", "X"),
    ("131026", "X"),
    ("131030", "X"),
    ("131047", "X"),
    ("131049", "X"),
    ("131050", "X"),
    ("130403", "X"),
    ("130472", "X"),
    ("131062", "X"),
    ("137000", "X"),
    ("131020, 131041", "X"),
    ("131060", "–"),
    ("131036", "?"),
    ("131035", "P"),
    ("131202, 131204, 131212, 131213", "Q"),
    ("131201", "Q"),
    ("131207, 131214, 131215, 131211", "P"),
    ("138000–138025", "X"),
    ("131044", "P"),
    ("100", "Q"),
    ("131008", "Q"),
    ("131009", "Q"),
    ("131051", "Q"),
    ("131052", "–"),
    ("131053", "T"),
    ("131055", "Q"),
    ("131059", "restart paging"),
    ("131209, 131210", "Q"),
    ("135000", "Q"),
    ("139000–139006", "Q"),
    ("139100–139103", "Q"),
    ("147001–147005", "Q"),
    ("1752041", "ignore"),
    ("1", "?"),
    ("2", "?"),
    ("131000", "?"),
    ("131016", "?"),
    ("-1, -2", "?"),
    ("132000", "T"),
    ("132001", "T"),
    ("132005", "Q"),
    ("132007", "T"),
    ("132008", "X"),
    ("132012", "X"),
    ("132015", "T"),
    ("132016", "T"),
    ("132018", "Q"),
    ("132068, 132069", "T"),
    ("134100", "Q"),
    ("134101", "R"),
    ("134102", "P"),
    ("2388019", "template-sync/Q"),
    ("2388023", "Q"),
    ("2388024", "Q"),
    ("2388039, 2388040, 2388047, 2388072, 2388073, 2388293, 2388299", "Q"),
    ("2388330, 2388318", "Q"),
    ("200005, 200006, 200007", "ignore"),
];

/// Where the first letter is not what we do, and why.
const EXCEPTIONS: &[(i32, ErrorClass)] = &[
    // "Q for this recipient (X)": one person's values are too long, the others' are not.
    (132_005, ErrorClass::Recipient),
    // "Q (139102/3 R)".
    (139_102, ErrorClass::Retry),
    (139_103, ErrorClass::Retry),
    // "T / S" for the two codes of one row.
    (132_069, ErrorClass::SlowConnection),
    // X "not above": named in the row of call limits.
    (138_005, ErrorClass::SlowPair),
    (138_009, ErrorClass::SlowPair),
    (138_012, ErrorClass::SlowPair),
];

/// The codes that only concern setting up a number.
const SET_UP: &str = "2388001, 2388012, 2388091, 2388093, 2388103, 2494164–2494179, 133005, 133008, \
    133009, 133015, 136024, 136025, 2593079, 2593085, 2593107–2593109";

fn class_of(cell: &str) -> ErrorClass {
    match cell {
        "A" => ErrorClass::Auth,
        "S" => ErrorClass::SlowConnection,
        "SP" => ErrorClass::SlowPair,
        "P" => ErrorClass::PauseConnection,
        "R" => ErrorClass::Retry,
        "X" => ErrorClass::Recipient,
        "T" => ErrorClass::Template,
        "?" => ErrorClass::Ambiguous,
        // Not about sending: never a reason to repeat anything.
        "Q" | "–" | "restart paging" | "ignore" | "template-sync/Q" => ErrorClass::Request,
        other => panic!("{other}"),
    }
}

/// "1, 2" or "200–299" as numbers.
fn codes(cell: &str) -> Vec<i32> {
    let number = |text: &str| text.trim().parse::<i32>().unwrap();
    cell.split(", ")
        .flat_map(|part| match part.trim().split_once('–') {
            Some((first, last)) => (number(first)..=number(last)).collect(),
            None => vec![number(part)],
        })
        .collect()
}

#[test]
fn every_listed_code_has_its_class() {
    let mut seen = std::collections::BTreeSet::new();
    for (cell, class) in LISTED {
        if *cell == "100 / subcode 33" {
            assert_eq!(classify(100, Some(33), Some(400)), ErrorClass::Auth);
            continue;
        }
        for code in codes(cell) {
            seen.insert(code);
            let exception = EXCEPTIONS.iter().find(|(excepted, _)| *excepted == code);
            let expected = exception.map_or_else(|| class_of(class), |(_, class)| *class);
            for status in [None, Some(400), Some(403), Some(429), Some(500), Some(503)] {
                assert_eq!(classify(code, None, status), expected, "{code} with {status:?}");
            }
            assert!(!advice(code, None).is_empty(), "{code}");
        }
    }
    for code in codes(SET_UP) {
        seen.insert(code);
        assert_eq!(classify(code, None, Some(500)), ErrorClass::Request, "{code}");
    }
    // Nothing is in the table that is not in the list.
    let ours: Vec<i32> = table_markdown()
        .lines()
        .skip(2)
        .map(|line| line.split('|').nth(1).unwrap().trim().to_owned())
        .filter(|cell| !cell.contains('/'))
        .flat_map(|cell| codes(&cell))
        .collect();
    assert!(ours.iter().all(|code| seen.contains(code)));
    assert_eq!(ours.iter().collect::<std::collections::BTreeSet<_>>().len(), seen.len());
}

#[test]
fn an_unknown_code_is_our_mistake_unless_metas_server_says_it_is_its_own() {
    for code in [199, 300, 99_999, 131_999, 200_008, i32::MAX, i32::MIN] {
        assert_eq!(classify(code, None, Some(400)), ErrorClass::Request);
        assert_eq!(classify(code, None, None), ErrorClass::Request);
        assert_eq!(classify(code, None, Some(500)), ErrorClass::Ambiguous);
        assert_eq!(classify(code, None, Some(503)), ErrorClass::Ambiguous);
    }
}

#[test]
fn a_subcode_matters_only_where_the_table_names_it() {
    assert_eq!(classify(100, Some(33), None), ErrorClass::Auth);
    assert_eq!(classify(100, Some(2_388_023), None), ErrorClass::Request);
    assert_eq!(classify(190, Some(463), None), ErrorClass::Auth);
    assert_eq!(classify(131_026, Some(33), None), ErrorClass::Recipient);
}

#[test]
fn the_page_for_operators_is_the_table() {
    assert_snapshot!(table_markdown());
}
