//! What may be typed about bringing contacts in and out.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::campaign::Reach;

/// An import, over the HTTP API.
#[derive(Debug, Args)]
pub(crate) struct Import {
    #[command(flatten)]
    pub(crate) reach: Reach,
    /// CSV, XLSX or NDJSON
    pub(crate) file: PathBuf,
    /// A column by its header, e.g. `phone=Mobile`; what is left out is guessed
    #[arg(long, value_name = "MEANING=COLUMN", value_parser = pair)]
    pub(crate) map: Vec<(String, String)>,
    /// What to do with people who are known
    #[arg(long, value_enum, default_value_t = OnConflict::Update)]
    pub(crate) on_conflict: OnConflict,
    /// Everybody of the file gets it; may be repeated
    #[arg(long)]
    pub(crate) tag: Vec<String>,
    /// Where numbers without a country code are from, e.g. `DE`
    #[arg(long)]
    pub(crate) country: Option<String>,
    /// Say what would happen, and change nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}

/// An export, over the HTTP API.
#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) reach: Reach,
    /// Where the file goes; without it, it stays at the service
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// What it is
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    pub(crate) format: Format,
    /// Only who has this tag; repeated, any of them
    #[arg(long)]
    pub(crate) tag: Vec<String>,
    /// Begin a CSV with a mark that tells Excel it is UTF-8
    #[arg(long)]
    pub(crate) bom: bool,
}

/// What to do with people who are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnConflict {
    /// The file knows better.
    Update,
    /// They stay as they are.
    Skip,
    /// The file adds what is not known yet.
    FillEmpty,
}

impl OnConflict {
    /// As the API names it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Update => "update",
            Self::Skip => "skip",
            Self::FillEmpty => "fill_empty",
        }
    }
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Values between commas.
    Csv,
    /// A workbook of Excel.
    Xlsx,
}

impl Format {
    /// As the API names it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Xlsx => "xlsx",
        }
    }
}

fn pair(text: &str) -> Result<(String, String), &'static str> {
    let (meaning, column) = text.split_once('=').ok_or("write phone=Mobile")?;
    match meaning {
        "phone" | "name" | "tags" => Ok((meaning.to_owned(), column.to_owned())),
        _ => Err("a column means phone, name or tags"),
    }
}
