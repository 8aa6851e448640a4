//! Fills in replies.

use super::MOST_REPLY_CHARS;

/// Replaces `{{text}}` and `{{name}}` in `template`, in one pass: what a person wrote is never read
/// as a template. Cut after [`MOST_REPLY_CHARS`] characters.
pub(crate) fn render(template: &str, text: &str, name: &str) -> String {
    let mut reply = Reply { text: String::new(), room: MOST_REPLY_CHARS };
    let mut rest = template;
    while let Some(at) = rest.find("{{") {
        let (before, tail) = rest.split_at(at);
        reply.push(before);
        rest = if let Some(tail) = tail.strip_prefix("{{text}}") {
            reply.push(text);
            tail
        } else if let Some(tail) = tail.strip_prefix("{{name}}") {
            reply.push(name);
            tail
        } else {
            reply.push("{");
            tail.strip_prefix('{').unwrap_or_default()
        };
    }
    reply.push(rest);
    reply.text
}

struct Reply {
    text: String,
    room: usize,
}

impl Reply {
    fn push(&mut self, part: &str) {
        for character in part.chars().take(self.room) {
            self.text.push(character);
            self.room -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn places_are_filled_in_and_everything_else_stays() {
        for (template, reply) in [
            ("test is working", "test is working"),
            ("{{name}} said {{text}}!", "Ada said hi!"),
            ("{{text}}{{text}}", "hihi"),
            ("{{{text}}}", "{hi}"),
            ("{{ text }} {{other}} {{", "{{ text }} {{other}} {{"),
            ("{text} }} {{text", "{text} }} {{text"),
        ] {
            assert_eq!(render(template, "hi", "Ada"), reply, "{template}");
        }
    }

    #[test]
    fn what_a_person_wrote_is_never_read_as_a_template() {
        assert_eq!(render("{{text}}", "{{name}}", "Ada"), "{{name}}");
        assert_eq!(render("{{te{{name}}", "xt}}", "xt}}"), "{{text}}");
    }

    #[test]
    fn a_reply_is_cut_at_4096_characters() {
        let reply = render("{{text}}{{text}}", &"ü".repeat(4_000), "");
        assert_eq!(reply.chars().count(), 4_096);
    }

    proptest! {
        #[test]
        fn no_template_panics_or_grows_too_long(
            template in "([{}]|\\{\\{text\\}\\}|\\{\\{name\\}\\}|.){0,40}",
            text in ".{0,300}",
            name in ".{0,20}",
        ) {
            prop_assert!(render(&template, &text, &name).chars().count() <= MOST_REPLY_CHARS);
        }
    }
}
