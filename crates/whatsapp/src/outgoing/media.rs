//! Pictures, films, sounds, files, stickers: by Meta's id, or by a link that Meta opens.

use serde::{Deserialize, Serialize};

use super::Flaws;

/// Characters of a caption at most.
const LONGEST_CAPTION: usize = 1_024;
/// Characters of a file's name at most.
const LONGEST_NAME: usize = 240;
/// Digits of a media id at most.
const LONGEST_ID: usize = 64;

/// A medium, as Meta's API takes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Media {
    /// Meta's id of what was uploaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Where Meta fetches it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// The text below it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// What a file is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// Whether a sound is shown as a voice message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voice: Option<bool>,
}

/// What may stand beside id or link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allows {
    Nothing,
    Caption,
    CaptionAndName,
    Name,
    Voice,
}

impl Media {
    pub(super) fn check(&self, flaws: &mut Flaws, allows: Allows) {
        match (&self.id, &self.link) {
            (Some(id), None) => {
                let is_id = (1..=LONGEST_ID).contains(&id.len())
                    && id.bytes().all(|byte| byte.is_ascii_digit());
                flaws.require("id", is_id, "the digits that an upload was answered with");
            }
            (None, Some(link)) => flaws.link("link", link),
            (None, None) | (Some(_), Some(_)) => flaws.require("", false, "either `id` or `link`"),
        }
        flaws.optional("caption", self.caption.as_ref(), LONGEST_CAPTION);
        flaws.optional("filename", self.filename.as_ref(), LONGEST_NAME);
        let may_caption = matches!(allows, Allows::Caption | Allows::CaptionAndName);
        flaws.require("caption", may_caption || self.caption.is_none(), "no caption");
        let may_name = matches!(allows, Allows::Name | Allows::CaptionAndName);
        flaws.require("filename", may_name || self.filename.is_none(), "no file name");
        flaws.require("voice", allows == Allows::Voice || self.voice.is_none(), "no `voice`");
    }
}
