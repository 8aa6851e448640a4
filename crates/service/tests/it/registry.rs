//! What callers branch on: a change here is a change of the API.

use insta::assert_snapshot;
use service::{Code, Problem, Role, Scope};

use crate::api::status_of;

#[test]
fn codes_keep_their_status() {
    let lines = Code::ALL.iter().map(|code| {
        let status = status_of(&Problem::new(*code, ""));
        let retry = if code.is_retryable() { " (retry)" } else { "" };
        format!("{status} {code}{retry}: {}\n", code.title())
    });
    assert_snapshot!("codes", lines.collect::<String>());
}

#[test]
fn roles_keep_their_scopes() {
    let lines = Scope::ALL.iter().map(|scope| {
        let roles = Role::ALL.iter().filter(|role| scope.is_granted_to(**role));
        let roles: Vec<&str> = roles.map(|role| role.as_str()).collect();
        format!("{scope}: {}\n", roles.join(" "))
    });
    assert_snapshot!("scopes", lines.collect::<String>());
    assert!(Role::ALL.iter().all(|role| role.as_str().parse() == Ok(*role)));
}
