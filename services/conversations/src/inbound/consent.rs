//! What people say about hearing from us: STOP and START in their language, and what they told WhatsApp.
//!
//! A word counts when it is the whole message: whoever writes "don't stop" goes on hearing from us. The
//! message is stored and a bot may answer it all the same.

mod words;

use chrono::{DateTime, Utc};
use storage::contacts::{Consent, ConsentSource, Declaration};
use storage::messages::Direction;
use whatsapp::webhook::model::{Preference, Wish};

use self::words::{START, STOP};
use super::lines::Line;
use super::read::Said;

/// What a message decides, if it decides anything.
pub(super) fn of_message(line: Line, said: &Said, now: DateTime<Utc>) -> Option<Declaration> {
    let is_said = matches!(said.kind.as_str(), "text" | "button" | "interactive");
    if said.direction != Direction::Inbound || !line.heeds_stop_words || !is_said {
        return None;
    }
    let text = said.text.as_deref()?;
    Some(Declaration {
        consent: meaning(text)?,
        source: ConsentSource::Keyword,
        text: Some(text.trim().to_owned()),
        actor: None,
        connection_id: Some(line.connection_id),
        said_at: said.said_at.unwrap_or(now).min(now),
    })
}

/// What somebody decided in WhatsApp's own settings.
pub(super) fn of_preference(line: Line, wish: &Preference, now: DateTime<Utc>) -> Declaration {
    Declaration {
        consent: match wish.wish {
            Wish::Stop => Consent::Withdrawn,
            Wish::Resume => Consent::Given,
        },
        source: ConsentSource::Meta,
        text: wish.detail.clone(),
        actor: None,
        connection_id: Some(line.connection_id),
        said_at: wish.at.unwrap_or(now).min(now),
    }
}

fn meaning(text: &str) -> Option<Consent> {
    /// No word is longer: most messages end here.
    const LONGEST: usize = 100;
    if text.len() > LONGEST {
        return None;
    }
    let is_around = |c: char| c.is_whitespace() || c.is_ascii_punctuation();
    let word = text.trim_matches(is_around).to_lowercase();
    let is_in = |list: &[(&str, &[&str])]| list.iter().any(|(_, all)| all.contains(&word.as_str()));
    if is_in(STOP) {
        Some(Consent::Withdrawn)
    } else if is_in(START) {
        Some(Consent::Given)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_counts_however_it_is_written() {
        for text in
            ["STOP", " stop ", "Stop!", "\"stop\".", "Stopp", "ARRÊT", "Стоп", "退订", "İPTAL RET"]
        {
            let expected = (text != "İPTAL RET").then_some(Consent::Withdrawn);
            assert_eq!(meaning(text), expected, "{text}");
        }
        for text in ["START", "Alta", "unstop"] {
            assert_eq!(meaning(text), Some(Consent::Given), "{text}");
        }
    }

    #[test]
    fn a_word_among_others_decides_nothing() {
        for text in
            ["", "!", "don't stop", "stop sending to my old number", "bus stop", "starten wir?"]
        {
            assert_eq!(meaning(text), None, "{text}");
        }
    }

    #[test]
    fn every_word_is_written_as_it_is_compared_and_means_one_thing() {
        let all = |list: &'static [(&str, &[&'static str])]| {
            list.iter().flat_map(|(_, words)| words.iter().copied()).collect::<Vec<_>>()
        };
        for word in all(STOP) {
            assert_eq!(meaning(word), Some(Consent::Withdrawn), "{word}");
            assert!(!all(START).contains(&word), "{word}");
        }
        for word in all(START) {
            assert_eq!(meaning(word), Some(Consent::Given), "{word}");
        }
    }

    #[test]
    fn the_page_about_contacts_lists_every_word() {
        let page = include_str!("../../../../docs/contacts.md");
        for (list, title) in [(STOP, "opts out"), (START, "opts in again")] {
            for (language, words) in list {
                let line = format!("| {title} | {language} | {} |", words.join(", "));
                assert!(page.contains(&line), "docs/contacts.md lacks this line:\n{line}");
            }
        }
    }
}
