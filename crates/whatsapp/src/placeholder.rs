//! `{{name|friend}}` inside a parameter: what stands for something known of a person.

/// What a placeholder stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The person's name.
    Name,
    /// The person's number, with `+`.
    Phone,
    /// One of the person's attributes.
    Attribute(String),
}

/// A placeholder of a template.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Placeholder {
    /// What it stands for.
    pub source: Source,
    /// What it says when that is empty; without one, such a person is skipped.
    pub default: Option<String>,
}

/// A part of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// It stays as it is.
    Text(&'a str),
    /// Something of a person stands here.
    Placeholder(Placeholder),
}

/// Splits a parameter.
///
/// # Errors
///
/// What stands in double braces and is no placeholder.
pub fn pieces(text: &str) -> Result<Vec<Piece<'_>>, &str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((inside, behind)) = after.split_once("}}") else { break };
        if !before.is_empty() {
            pieces.push(Piece::Text(before));
        }
        pieces.push(Piece::Placeholder(Placeholder::read(inside).ok_or(inside)?));
        rest = behind;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    Ok(pieces)
}

impl Placeholder {
    fn read(inside: &str) -> Option<Self> {
        let (what, default) = match inside.split_once('|') {
            Some((what, default)) => (what, Some(default.trim().to_owned())),
            None => (inside, None),
        };
        let source = match what.trim() {
            "name" => Source::Name,
            "phone" => Source::Phone,
            other => Source::Attribute(
                other.strip_prefix("attributes.").filter(|key| !key.is_empty())?.to_owned(),
            ),
        };
        Some(Self { source, default })
    }
}

impl Source {
    /// The word for it in statements.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Phone => "phone",
            Self::Attribute(_) => "attribute",
        }
    }

    /// The attribute's key; empty for the others.
    pub fn key(&self) -> &str {
        match self {
            Self::Attribute(key) => key,
            Self::Name | Self::Phone => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_split_at_its_placeholders() {
        let city =
            Placeholder { source: Source::Attribute("city".into()), default: Some("town".into()) };
        assert_eq!(
            pieces("Hi {{attributes.city | town}}!"),
            Ok(vec![Piece::Text("Hi "), Piece::Placeholder(city), Piece::Text("!")])
        );
        assert_eq!(pieces("{{ half"), Ok(vec![Piece::Text("{{ half")]));
        assert_eq!(pieces("{{attributes.}}"), Err("attributes."));
    }
}
