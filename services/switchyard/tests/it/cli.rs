//! The command line as an operator meets it.

use tokio::process::Command;

use crate::installation::Installation;

async fn switchyard(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_switchyard"))
        .args(arguments)
        .env_clear()
        .output()
        .await
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistyped_command_is_wrong_usage() {
    let (code, out, err) = switchyard(&["rum"]).await;
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("run"), "suggests the right one: {err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_database_the_error_names_the_variable_to_set() {
    let (code, out, err) = switchyard(&["migrate", "status"]).await;
    assert_ne!(code, 0);
    assert_eq!(out, "");
    assert!(err.contains("SWITCHYARD__DATABASE__URL"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_printed_alone_and_only_its_hash_is_kept() {
    let installation = Installation::new().await;
    assert!(installation.key.starts_with("swk_live_"), "{}", installation.key);
    assert_eq!(installation.key.lines().count(), 1);
    // `swk_live_<id>_<secret>`; the secret may hold a `_` itself.
    let secret = installation.key.splitn(4, '_').nth(3).unwrap();
    let kept = format!("api_keys k WHERE k::text LIKE '%{secret}%'");
    assert_eq!(installation.count(&kept).await, 0);
    let again = installation.command(&["migrate", "up"]).await;
    assert!(!again.contains("swk_"), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn shown_configuration_holds_no_secret() {
    let installation = Installation::new().await;
    let shown = installation.command(&["config", "show", "--sources"]).await;
    assert!(shown.contains("meta.base_url"), "{shown}");
    assert!(!shown.contains(crate::installation::APP_SECRET), "{shown}");
    assert!(!shown.contains("AAECAwQF"), "the master key: {shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_a_healthy_installation_healthy() {
    let installation = Installation::new().await;
    let said = installation.command(&["doctor"]).await;
    for part in ["PostgreSQL", "Redis", "RabbitMQ"] {
        assert!(said.contains(part), "{said}");
    }
}
