//! The signed content, as text with placeholders.

use std::borrow::Cow;

use crate::scheme::Message;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Timestamp,
    Id,
    Body,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Named(Name),
}

#[derive(Debug)]
pub(super) struct Template {
    pieces: Vec<Piece>,
    /// The separator after the id, which the id must therefore not contain.
    after_id: Option<u8>,
}

impl Template {
    /// # Errors
    ///
    /// If the signed content is ambiguous or does not cover the body; with the remedy.
    pub(super) fn new(text: &str) -> Result<Self, &'static str> {
        let pieces = pieces(text);
        let mut template = Self { pieces, after_id: None };
        if template.times(Name::Body) != 1 {
            return Err("name `{body}` once: a part that is not signed can be changed");
        }
        if template.times(Name::Timestamp) > 1 || template.times(Name::Id) > 1 {
            return Err("name `{timestamp}` and `{id}` once at most");
        }
        let Some(id) = template.place(Name::Id) else { return Ok(template) };
        if Some(id) > template.place(Name::Body) {
            return Err(
                "put `{id}` before `{body}`: behind it, the end of a body could be the beginning of an id",
            );
        }
        let Some(Piece::Text(text)) = template.pieces.get(id + 1) else {
            return Err(
                "put text after `{id}`: without it, the end of an id could be the beginning of the rest",
            );
        };
        template.after_id = text.bytes().next();
        Ok(template)
    }

    pub(super) fn signs(&self, name: Name) -> bool {
        self.times(name) > 0
    }

    /// Returns whether an id is free of the separator.
    pub(super) fn delimits(&self, id: &str) -> bool {
        !self.after_id.is_some_and(|end| id.as_bytes().contains(&end))
    }

    pub(super) fn message<'r>(
        &'r self,
        id: &'r str,
        timestamp: &'r str,
        body: &'r [u8],
    ) -> Message<'r> {
        let bytes = |piece: &'r Piece| match piece {
            Piece::Text(text) => text.as_bytes(),
            Piece::Named(Name::Timestamp) => timestamp.as_bytes(),
            Piece::Named(Name::Id) => id.as_bytes(),
            Piece::Named(Name::Body) => body,
        };
        self.pieces.iter().map(|piece| Cow::Borrowed(bytes(piece))).collect()
    }

    fn times(&self, name: Name) -> usize {
        self.pieces.iter().filter(|piece| **piece == Piece::Named(name)).count()
    }

    fn place(&self, name: Name) -> Option<usize> {
        self.pieces.iter().position(|piece| *piece == Piece::Named(name))
    }
}

fn pieces(mut template: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let names = [("{timestamp}", Name::Timestamp), ("{id}", Name::Id), ("{body}", Name::Body)];
    loop {
        let found =
            names.iter().filter_map(|(text, name)| Some((template.find(text)?, *text, *name)));
        let next = found.min_by_key(|(at, _, _)| *at);
        let end = next.map_or(template.len(), |(at, _, _)| at);
        if end > 0 {
            pieces.push(Piece::Text(template[..end].to_owned()));
        }
        let Some((_, text, name)) = next else { return pieces };
        pieces.push(Piece::Named(name));
        template = &template[end + text.len()..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn template_consists_of_text_and_three_placeholders() {
        use Name::{Body, Id, Timestamp};
        use Piece::Named;
        let text = |text: &str| Piece::Text(text.to_owned());
        assert_eq!(
            pieces("v0:{timestamp}:{body}"),
            [text("v0:"), Named(Timestamp), text(":"), Named(Body)]
        );
        assert_eq!(pieces("{id}{{body}}{x}"), [Named(Id), text("{"), Named(Body), text("}{x}")]);
        assert_eq!(pieces(""), []);
    }

    #[test]
    fn ambiguous_templates_are_rejected() {
        for wrong in [
            "",
            "hello",
            "{body}{body}",
            "{id}{body}",
            "{id}{timestamp}.{body}",
            "{body}.{id}",
            "{id}.{id}.{body}",
        ] {
            assert!(Template::new(wrong).is_err(), "{wrong}");
        }
        let template = Template::new("{id}.{timestamp}.{body}").unwrap();
        assert!(template.delimits("a") && !template.delimits("a.b"));
        assert_eq!(template.message("a", "1", b"x").concat(), b"a.1.x");
    }
}
