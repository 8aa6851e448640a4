//! What wins, what is refused, and what is never shown.

use std::io::Write;

use secrecy::ExposeSecret;
use tempfile::NamedTempFile;

use super::*;

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn load_with(variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Loaded, SettingsError> {
    load(variables.iter().map(|(name, value)| (name.into(), value.into())), flags)
}

/// The error and its causes, as an operator sees them.
fn refusal(variables: &[(&str, &str)], flags: &[(&str, &str)]) -> String {
    let error = load_with(variables, flags).unwrap_err();
    match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[test]
fn the_last_layer_that_names_a_key_wins_and_is_remembered() {
    let file =
        file("[limits]\nbot_per_minute = 6\nwebhook_per_minute = 200\n[database]\nwait = '9s'");
    let path = file.path().to_str().unwrap();
    let variables = [
        ("SWITCHYARD_CONFIG", path),
        ("SWITCHYARD__LIMITS__BOT_PER_MINUTE", "7"),
        ("SWITCHYARD__HTTP__LISTEN", "0.0.0.0:80"),
        ("UNRELATED", "x"),
    ];
    let loaded = load_with(&variables, &[("http.listen", "127.0.0.1:9999")]).unwrap();

    let Settings { limits, database, http, .. } = &loaded.settings;
    assert_eq!((limits.bot_per_minute, limits.webhook_per_minute), (7, 200));
    assert_eq!(limits.whatsapp_api_per_minute, 100);
    assert_eq!(database.wait.as_secs(), 9);
    assert_eq!(http.listen.to_string(), "127.0.0.1:9999");

    let variable = "SWITCHYARD__LIMITS__BOT_PER_MINUTE".to_owned();
    assert_eq!(loaded.sources.of("limits.bot_per_minute"), Source::Variable(variable));
    assert_eq!(loaded.sources.of("database.wait"), Source::File(file.path().to_owned()));
    assert_eq!(loaded.sources.of("http.listen"), Source::Flag);
    assert_eq!(loaded.sources.of("limits.whatsapp_api_per_minute"), Source::Default);
    assert_eq!(loaded.sources.changed().count(), 4);
}

#[test]
fn every_kind_of_value_is_read_from_a_variable() {
    let variables = [
        ("SWITCHYARD__DATABASE__URL", "postgres://me:pw@db/sy"),
        ("SWITCHYARD__DATABASE__POOL_SIZE", "12"),
        ("SWITCHYARD__HTTP__ADMIN_LISTEN", "[::1]:9090"),
        ("SWITCHYARD__HTTP__WORKERS", "3"),
        ("SWITCHYARD__META__BASE_URL", "http://127.0.0.1:9900"),
        ("SWITCHYARD__META__APP_SECRET", "12345"),
        ("SWITCHYARD__TELEMETRY__LOG_FORMAT", "json"),
        ("SWITCHYARD__TELEMETRY__OTLP_ENDPOINT", ""),
    ];
    let settings = load_with(&variables, &[]).unwrap().settings;
    assert_eq!(settings.database.url().unwrap().expose(), "postgres://me:pw@db/sy");
    assert_eq!(settings.database.pool_size, 12);
    assert_eq!(settings.http.admin_listen.unwrap().to_string(), "[::1]:9090");
    assert_eq!(settings.http.workers, Some(3));
    assert_eq!(settings.meta.base_url.as_str(), "http://127.0.0.1:9900/");
    assert_eq!(settings.meta.app_secrets().first().unwrap().expose_secret(), "12345");
    assert_eq!(settings.telemetry.log_format, crate::LogFormat::Json);
    assert_eq!(settings.telemetry.otlp_endpoint, None);
}

#[test]
fn a_secret_is_read_from_the_file_its_twin_names() {
    let secret = file("old-secret, new-secret\n");
    let path = secret.path().to_str().unwrap();
    let loaded = load_with(&[("SWITCHYARD__META__APP_SECRET_FILE", path)], &[]).unwrap();
    let secrets = loaded.settings.meta.app_secrets();
    let shown: Vec<&str> = secrets.iter().map(ExposeSecret::expose_secret).collect();
    assert_eq!(shown, ["old-secret", "new-secret"]);

    let both = [("SWITCHYARD__META__APP_SECRET", "a"), ("SWITCHYARD__META__APP_SECRET_FILE", path)];
    assert_eq!(
        refusal(&both, &[]),
        "both SWITCHYARD__META__APP_SECRET and SWITCHYARD__META__APP_SECRET_FILE are set; remove one"
    );
    let gone = refusal(&[("SWITCHYARD__META__VERIFY_TOKEN_FILE", "/nowhere/token")], &[]);
    assert!(
        gone.starts_with("cannot read /nowhere/token, which SWITCHYARD__META__VERIFY_TOKEN_FILE"),
        "{gone}"
    );
}

#[test]
fn an_unknown_key_is_refused_in_every_layer_with_the_nearest_known_ones() {
    assert_eq!(
        refusal(&[("SWITCHYARD__LIMITS__BOTS_PER_MINUTE", "7")], &[]),
        "unknown setting `limits.bots_per_minute` (variable SWITCHYARD__LIMITS__BOTS_PER_MINUTE); \
         did you mean `limits.bot_per_minute` or `limits.whatsapp_api_per_minute`?"
    );
    assert_eq!(
        refusal(&[], &[("qqq", "7")]),
        "unknown setting `qqq` (flag)",
        "nothing looks like it"
    );
    let file = file("[database]\nurls = 'postgres://me:hidden@db'\n");
    let refused = refusal(&[("SWITCHYARD_CONFIG", file.path().to_str().unwrap())], &[]);
    assert!(refused.contains("unknown setting `database.urls` (file "), "{refused}");
    assert!(refused.contains("did you mean `database.url`"), "{refused}");
    assert!(!refused.contains("hidden"), "{refused}");
}

#[test]
fn a_value_of_the_wrong_kind_is_refused_with_its_key_and_layer() {
    for (variable, value, key) in [
        ("SWITCHYARD__DATABASE__POOL_SIZE", "many", "database.pool_size"),
        ("SWITCHYARD__DATABASE__WAIT", "5", "database.wait"),
        ("SWITCHYARD__HTTP__LISTEN", "localhost", "http.listen"),
        ("SWITCHYARD__META__BASE_URL", "graph", "meta.base_url"),
        ("SWITCHYARD__TELEMETRY__LOG_FORMAT", "xml", "telemetry.log_format"),
    ] {
        let refused = refusal(&[(variable, value)], &[]);
        assert!(refused.contains(key) && refused.contains(variable), "{refused}");
    }
}

#[test]
fn neither_a_report_nor_an_error_shows_a_secret() {
    let key = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlYzE=";
    let variables = [
        ("SWITCHYARD__SECURITY__MASTER_KEY", key),
        ("SWITCHYARD__META__APP_SECRET", "app-hidden"),
        ("SWITCHYARD__META__VERIFY_TOKEN", "token-hidden"),
        ("SWITCHYARD__AMQP__URL", "amqp://guest:pw-hidden@mq:5672/%2f"),
    ];
    let loaded = load_with(&variables, &[]).unwrap();
    let shown = format!("{loaded:?} {:?}", loaded.report());
    assert!(!shown.contains("hidden") && !shown.contains(key), "{shown}");
    assert!(shown.contains("amqp://guest:***@mq:5672/%2f"), "{shown}");
    assert_eq!(loaded.settings.security.master_key().unwrap().expose_secret().len(), 32);

    let mistyped = refusal(&[("SWITCHYARD__REDIS__URL", "redis:/pw-hidden @x:y")], &[]);
    assert!(!mistyped.contains("hidden"), "{mistyped}");
    let file = file("[meta]\napp_secret = hidden\n");
    let malformed = refusal(&[("SWITCHYARD_CONFIG", file.path().to_str().unwrap())], &[]);
    assert!(malformed.contains("line 2") && !malformed.contains("hidden"), "{malformed}");
    let flag = refusal(&[], &[("meta.app_secret", "hidden")]);
    assert_eq!(
        flag,
        "`meta.app_secret` is a secret and is not taken from a flag; \
         set SWITCHYARD__META__APP_SECRET_FILE"
    );
}

#[test]
fn a_file_that_was_asked_for_must_exist() {
    let refused = refusal(&[("SWITCHYARD_CONFIG", "/nowhere/config.toml")], &[]);
    assert!(refused.starts_with("cannot read the settings file /nowhere/config.toml"), "{refused}");
}

#[test]
fn values_that_do_not_fit_together_are_refused_all_at_once_with_advice() {
    let variables = [
        ("SWITCHYARD__META__TIMEOUT", "20s"),
        ("SWITCHYARD__CONVERSATIONS__WORKERS", "8"),
        ("SWITCHYARD__REDIS__URL", "http://cache"),
        ("SWITCHYARD__SECURITY__MASTER_KEY", "c2hvcnQ="),
        ("SWITCHYARD__HTTP__ADMIN_LISTEN", "127.0.0.1:8080"),
    ];
    let error = load_with(&variables, &[]).unwrap_err();
    let SettingsError::Unfit { problems } = &error else { panic!("{error}") };
    assert_eq!(problems.len(), 5, "{error}");
    assert!(error.to_string().contains("lasts 30s (L12)"), "{error}");
}

#[test]
fn the_defaults_fit_together_and_a_missing_url_says_how_to_set_it() {
    let settings = load_with(&[], &[]).unwrap().settings;
    assert_eq!(
        settings.database.url().unwrap_err().to_string(),
        "`database.url` is not set; \
         set SWITCHYARD__DATABASE__URL or SWITCHYARD__DATABASE__URL_FILE"
    );
}
