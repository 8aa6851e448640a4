//! Writes inbound webhook bodies by hand: the same JSON as `body::webhook`, at a fraction of the
//! cost.

use std::fmt::Write;

use kernel::{Clock, SystemClock};

use super::FloodOptions;
use crate::options::Number;
use crate::sign::{Signer, escape};
use crate::wamid::Wamids;

/// A body and its signature.
pub(super) struct Signed {
    pub(super) body: String,
    pub(super) signature: String,
}

pub(super) struct Bodies {
    numbers: Vec<Number>,
    persons: u64,
    per_post: u64,
    /// The text as a JSON string, quotes included.
    text: String,
    signer: Signer,
    wamids: Wamids,
}

impl Bodies {
    pub(super) fn new(options: &FloodOptions) -> Self {
        Self {
            numbers: options.numbers.clone(),
            persons: options.persons.max(1),
            per_post: options.per_post.clamp(1, 1_000),
            text: escape(&serde_json::Value::from(options.text.as_str()).to_string()),
            signer: options.signer(),
            wamids: Wamids::new(),
        }
    }

    /// The `post`-th body: its people follow those of the one before; all write to one number.
    pub(super) fn build(&self, post: u64) -> Signed {
        let numbers = u64::try_from(self.numbers.len()).unwrap_or(1).max(1);
        let number = usize::try_from(post % numbers).ok().and_then(|n| self.numbers.get(n));
        let mut body = String::with_capacity(400 + self.capacity());
        if let Some(number) = number {
            // Writing to a String cannot fail.
            self.write(post, number, &mut body).ok();
        }
        let signature = self.signer.sign(body.as_bytes());
        Signed { body, signature }
    }

    fn capacity(&self) -> usize {
        usize::try_from(self.per_post).unwrap_or(0) * (300 + self.text.len())
    }

    fn write(&self, post: u64, number: &Number, body: &mut String) -> std::fmt::Result {
        let people = (0..self.per_post).map(|n| (post * self.per_post + n) % self.persons);
        write!(
            body,
            r#"{{"object":"whatsapp_business_account","entry":[{{"id":"{}","changes":[{{"value":{{"messaging_product":"whatsapp","metadata":{{"display_phone_number":"{}","phone_number_id":"{}"}},"contacts":["#,
            number.waba_id, number.display_phone_number, number.phone_number_id
        )?;
        let named = self.per_post.min(self.persons);
        for (index, person) in people.clone().enumerate().take(usize::try_from(named).unwrap_or(0))
        {
            let comma = if index == 0 { "" } else { "," };
            write!(
                body,
                r#"{comma}{{"profile":{{"name":"Person {person}"}},"wa_id":"{}"}}"#,
                digits(person)
            )?;
        }
        body.push_str(r#"],"messages":["#);
        let now = SystemClock.now().timestamp();
        for (index, person) in people.enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let from = digits(person);
            write!(
                body,
                r#"{comma}{{"from":"{from}","id":"{}","timestamp":"{now}","text":{{"body":{}}},"type":"text"}}"#,
                self.wamids.inbound(&from),
                self.text
            )?;
        }
        body.push_str(r#"]},"field":"messages"}]}]}"#);
        Ok(())
    }
}

/// The number of the `person`-th person.
fn digits(person: u64) -> String {
    format!("4915{person:09}")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_body_says_what_it_should() {
        let bodies = Bodies::new(&FloodOptions {
            numbers: vec![Number::new("waba", "111"), Number::new("waba", "222")],
            persons: 2,
            per_post: 3,
            text: "a/\"ä".to_owned(),
            ..FloodOptions::default()
        });
        let signed = bodies.build(1);
        assert!(signed.body.contains(r#""a\/\"\u00e4""#), "{}", signed.body);
        let body: Value = serde_json::from_str(&signed.body).unwrap();
        let value = &body["entry"][0]["changes"][0]["value"];
        assert_eq!(value["metadata"]["phone_number_id"], "222");
        assert_eq!(value["contacts"].as_array().map(Vec::len), Some(2));
        let from: Vec<&str> = value["messages"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|m| m["from"].as_str())
            .collect();
        assert_eq!(from, ["4915000000001", "4915000000000", "4915000000001"]);
        assert_eq!(value["messages"][0]["text"]["body"], "a/\"ä");
        let secret = FloodOptions::default().app_secret;
        assert_eq!(signed.signature, crate::signature(&secret, signed.body.as_bytes()));
    }
}
