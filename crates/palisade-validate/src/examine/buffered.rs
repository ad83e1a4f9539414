//! Mistakes in what serde buffers before it reads it: unions, and structs with others flattened into them.
//!
//! serde's error then has no place. It does have what came, so where only one value of the buffered object is that, the
//! mistake is there. Otherwise it is reported at the object.

use super::{
    Path,
    cursor::Kind,
    fault::Complaint,
    round::{Fact, ReadAs, Round},
};
use crate::place::Place;

/// The values that a complaint can be about.
#[derive(Default)]
pub(super) struct Search {
    pub(super) hits: Vec<(Place, Vec<usize>)>,
    /// How a text is to be read from now on.
    pub(super) reading: Option<Fact>,
}

impl Round<'_> {
    /// Looks through the object or list that begins at `start`.
    pub(super) fn search(&self, path: &Path<'_>, start: usize, complaint: &Complaint) -> Search {
        let mut search = Search::default();
        let end = self.cursor.at();
        self.cursor.seek(start);
        if matches!(self.cursor.kind(), Kind::Object | Kind::Array) {
            self.look(path, complaint, &mut search);
        }
        self.cursor.seek(end);
        search
    }

    fn look(&self, path: &Path<'_>, complaint: &Complaint, search: &mut Search) {
        let cursor = &self.cursor;
        let start = cursor.at();
        match cursor.kind() {
            Kind::Object => {
                cursor.enter();
                while cursor.advance() {
                    let name = cursor.name();
                    if complaint.is_about_text(&name) {
                        search.hits.push(path.to_place_and_order());
                    }
                    self.look(&Path::Field(path, &name, 0), complaint, search);
                }
            }
            Kind::Array => {
                cursor.enter();
                let mut at = 0;
                while cursor.advance() {
                    self.look(&Path::Index(path, at), complaint, search);
                    at += 1;
                }
            }
            _ => drop(cursor.skip()),
        }
        let mut raw = cursor.since(start);
        if self.mode.coerces_text && self.knowledge.reads(path, ReadAs::Number) {
            let digits = raw.trim_matches('"');
            raw = if digits.parse::<f64>().is_ok() { digits } else { raw };
        }
        if complaint.is_about(raw) {
            search.hits.push(path.to_place_and_order());
            if self.mode.coerces_text && search.reading.is_none() {
                search.reading = self.reading(path, complaint);
            }
        } else if self.mode.coerces_text && search.reading.is_none() {
            search.reading = self.text_after_all(path, raw, complaint);
        }
    }

    /// The type has said what it expects in place of this text, so that is how it is read, once.
    fn reading(&self, path: &Path<'_>, complaint: &Complaint) -> Option<Fact> {
        let read_as = match complaint.expected()? {
            "integer" | "number" => ReadAs::Number,
            "boolean" => ReadAs::Bool,
            "array" => ReadAs::List,
            _ => return None,
        };
        let path = match path {
            // All items of a list are of one kind.
            Path::Index(list, _) => list,
            path => path,
        };
        let is_known = self.knowledge.reads(path, read_as)
            || self.knowledge.reads(path, ReadAs::Text) && read_as != ReadAs::List;
        (!is_known).then(|| Fact::Reads(path.to_place(), read_as))
    }

    fn text_after_all(&self, path: &Path<'_>, raw: &str, complaint: &Complaint) -> Option<Fact> {
        let text = raw.trim_matches('"');
        let is_it = complaint.expected() == Some("string")
            && (complaint.is_about(text)
                || complaint.is_about(if text == "1" { "true" } else { "false" }))
            && (self.knowledge.reads(path, ReadAs::Number)
                || self.knowledge.reads(path, ReadAs::Bool))
            && !self.knowledge.reads(path, ReadAs::Text);
        is_it.then(|| Fact::Reads(path.to_place(), ReadAs::Text))
    }

    /// Returns true if a missing field can only be one of this object. serde misses the tag of an enum in an empty list too.
    pub(super) fn has_one_object(&self, start: usize) -> bool {
        let end = self.cursor.at();
        self.cursor.seek(start);
        let raw = self.cursor.skip();
        self.cursor.seek(end);
        let bytes: Vec<_> = raw.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        raw.starts_with('{')
            && bytes.iter().filter(|byte| **byte == b'{').count() == 1
            && !bytes.windows(2).any(|two| two == b"[]")
    }
}
