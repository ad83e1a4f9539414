use std::{borrow::Cow, cell::Cell};

/// A position in a JSON text that is known to be valid.
///
/// Reading moves it past the value that was read. It allocates only for strings with escapes, so that the memory of a second
/// reading does not depend on the text.
pub(crate) struct Cursor<'t> {
    text: &'t str,
    at: Cell<usize>,
    /// Where it was put last, and how many bytes it had passed until then.
    begun: Cell<(usize, usize)>,
}

/// The kind of a JSON value, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

impl<'t> Cursor<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { text, at: Cell::new(0), begun: Cell::default() }
    }

    /// The size of the text in bytes.
    pub(crate) fn size(&self) -> usize {
        self.text.len()
    }

    pub(crate) fn at(&self) -> usize {
        self.at.get()
    }

    pub(crate) fn seek(&self, at: usize) {
        self.begun.set((at, self.passed()));
        self.at.set(at);
    }

    /// How many bytes have been passed, those that were passed again included: the work.
    pub(crate) fn passed(&self) -> usize {
        let (start, before) = self.begun.get();
        before + self.at.get() - start
    }

    /// The text from a position to here.
    pub(crate) fn since(&self, start: usize) -> &'t str {
        self.text.get(start..self.at.get()).unwrap_or_default()
    }

    /// The text from here on.
    pub(crate) fn rest(&self) -> &'t str {
        self.text.get(self.at.get()..).unwrap_or_default()
    }

    fn byte(&self) -> u8 {
        let (bytes, at) = (self.text.as_bytes(), self.at.get());
        if at < bytes.len() { bytes[at] } else { 0 }
    }

    /// The next byte that is not white space (RFC 8259, section 2).
    fn peek(&self) -> u8 {
        while matches!(self.byte(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at.set(self.at.get() + 1);
        }
        self.byte()
    }

    pub(crate) fn kind(&self) -> Kind {
        match self.peek() {
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b'"' => Kind::String,
            b't' | b'f' => Kind::Bool,
            b'-' | b'0'..=b'9' => Kind::Number,
            _ => Kind::Null,
        }
    }

    /// Enters an array or an object.
    pub(crate) fn enter(&self) {
        self.peek();
        self.at.set(self.at.get() + 1);
    }

    /// Moves to the next item or name. Returns false after the last one, past the closing bracket.
    pub(crate) fn advance(&self) -> bool {
        match self.peek() {
            b',' => {
                self.enter();
                true
            }
            b']' | b'}' => {
                self.enter();
                false
            }
            0 => false,
            _ => true,
        }
    }

    /// Reads a name and the colon after it.
    pub(crate) fn name(&self) -> Cow<'t, str> {
        let name = self.string();
        self.enter();
        name
    }

    pub(crate) fn string(&self) -> Cow<'t, str> {
        let raw = self.skip();
        let inside = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
        if !inside.contains('\\') {
            return Cow::Borrowed(inside);
        }
        serde_json::from_str(raw).map_or(Cow::Borrowed(inside), Cow::Owned)
    }

    /// Moves past a value of any kind and returns its text.
    pub(crate) fn skip(&self) -> &'t str {
        self.peek();
        let start = self.at.get();
        let bytes = self.text.as_bytes();
        let mut at = start;
        let mut open = 0_usize;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'"' => at = end_of_string(bytes, at),
                b'{' | b'[' => {
                    open += 1;
                    at += 1;
                }
                // The end of the array or object around this value.
                b'}' | b']' if open == 0 => break,
                b'}' | b']' => {
                    open -= 1;
                    at += 1;
                }
                b',' if open == 0 => break,
                b' ' | b'\t' | b'\n' | b'\r' if open == 0 => break,
                _ => at += 1,
            }
            if open == 0 && matches!(bytes[at - 1], b'"' | b'}' | b']') {
                break;
            }
        }
        self.at.set(at);
        &self.text[start..at]
    }
}

/// The position after the closing quote of the string that begins at `start`.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    loop {
        match bytes.get(at) {
            Some(b'"') => return at + 1,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
            None => return bytes.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skips_values_of_every_kind() {
        let text = r#" {"a" : [1.5e3 , "x\"]", {"b":{}}, null ] , "c\u0041":true} "#;
        let cursor = Cursor::new(text);
        assert_eq!(cursor.kind(), Kind::Object);
        cursor.enter();
        assert!(cursor.advance());
        assert_eq!(cursor.name(), "a");
        assert_eq!(cursor.kind(), Kind::Array);
        cursor.enter();
        let mut items = Vec::new();
        while cursor.advance() {
            items.push(cursor.skip());
        }
        assert_eq!(items, ["1.5e3", r#""x\"]""#, r#"{"b":{}}"#, "null"]);
        assert!(cursor.advance());
        assert_eq!(cursor.name(), "cA");
        assert_eq!(cursor.kind(), Kind::Bool);
        assert_eq!(cursor.skip(), "true");
        assert!(!cursor.advance());
        assert_eq!(cursor.at(), text.len() - 1);
    }

    proptest::proptest! {
        #[test]
        fn skips_any_serde_json_output(names in proptest::collection::vec(".{0,6}", 0..9)) {
            let tree = serde_json::json!([names, {"a": names}, 1.5, [[]], {}]);
            let text = serde_json::to_string_pretty(&tree).unwrap();
            let cursor = Cursor::new(&text);
            proptest::prop_assert_eq!(cursor.skip(), &text);
            cursor.seek(0);
            cursor.enter();
            let mut items = Vec::new();
            while cursor.advance() {
                items.push(serde_json::from_str::<serde_json::Value>(cursor.skip()).unwrap());
            }
            proptest::prop_assert_eq!(serde_json::Value::Array(items), tree);
        }
    }
}
