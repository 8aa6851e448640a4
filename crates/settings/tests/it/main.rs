//! The files people read about settings agree with the code.

use std::path::{Path, PathBuf};

use config::{Config, File, FileFormat};
use settings::Settings;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_configuration_page_is_what_the_code_says() {
    let page = std::fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    assert!(
        page == settings::reference(),
        "run: cargo run -q -p settings --example reference > docs/configuration.md"
    );
}

/// In the sample every key stands behind `# `, except section headings: with the marks taken away
/// it must set every key that exists, plain ones to their defaults.
#[test]
fn the_sample_file_names_every_key_with_its_default() {
    let sample = std::fs::read_to_string(root().join("deploy/config/switchyard.toml")).unwrap();
    let active: String = sample
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase()) => setting,
            Some(_) => "",
            None => line,
        })
        .map(|line| format!("{line}\n"))
        .collect();

    let parse = |text: &str| {
        Config::builder().add_source(File::from_str(text, FileFormat::Toml)).build().unwrap()
    };
    let read: Settings = parse(&active).try_deserialize().unwrap();
    read.validate().unwrap();
    parse(&sample).try_deserialize::<Settings>().unwrap().validate().unwrap();

    for (mine, default) in read.entries().iter().zip(Settings::default().entries()) {
        let key = mine.key.split_once('.').unwrap().1;
        assert!(active.contains(&format!("\n{key} = ")), "{} is missing", mine.key);
        if !default.value.is_empty() {
            assert_eq!(*mine, default, "the sample shows another default");
        }
    }
}
