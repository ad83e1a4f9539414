//! The members of a JSON object: each name once, at any depth, and the values as they are in the text.
//!
//! Two parsers that disagree on which of two members with the same name counts would see two different tokens (RFC 7515,
//! section 4; RFC 7519, section 4), and most types of serde accept such members. Rejecting them by serde_json takes as long
//! as reading the claims once more. The pass here takes a quarter of that. It accepts what `serde_json::Value` accepts
//! (RFC 8259) for each type that the user reads the claims as: such a type may skip values or hide their errors.

use std::borrow::Cow;

use smallvec::SmallVec;

/// Why members cannot be read, for the log.
pub(crate) type Unreadable = &'static str;

const SYNTAX: Unreadable = "not a JSON object";
const TOO_DEEP: Unreadable = "nested too deeply";
const NOT_TEXT: Unreadable = "a string is not Unicode";

/// The greatest depth of nested values: that of serde_json, without the object around them.
const MAX_DEPTH: usize = 126;

/// Checks that a text is a JSON object in which no object has a member twice.
pub(crate) fn check(json: &[u8]) -> Result<(), Unreadable> {
    let mut names = Names::default();
    let json = std::str::from_utf8(json).map_err(|_| SYNTAX)?;
    read(json, |name, _| names.add(name))?;
    names.check()
}

/// Calls `each` with the members of an object. Names within the values are checked; those of the members themselves are left
/// to `each`.
#[inline]
pub(super) fn read<'a>(
    json: &'a str,
    mut each: impl FnMut(Cow<'a, str>, Value<'a>) -> Result<(), Unreadable>,
) -> Result<(), Unreadable> {
    let mut reader = Reader::new(json);
    reader.take(b'{')?;
    reader.members(&mut each)?;
    if reader.peek().is_some() { Err(SYNTAX) } else { Ok(()) }
}

/// The value of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// The content of a string without escapes.
    Text(&'a str),
    /// Any other value, as it is in the JSON text.
    Json(&'a str),
}

impl<'a> Value<'a> {
    /// Returns the string.
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Json(json) if json.starts_with('"') => {
                serde_json::from_str(json).ok().map(Cow::Owned)
            }
            Self::Json(_) => None,
        }
    }

    /// Calls `each` with the items of a list. `None` for any other value.
    pub(super) fn items(self, mut each: impl FnMut(Self)) -> Option<()> {
        let Self::Json(json) = self else { return None };
        let mut reader = Reader::new(json);
        reader.take(b'[').ok()?;
        reader
            .items(&mut |value| {
                each(value);
                Ok(())
            })
            .ok()
    }

    /// Calls `each` with the members of an object. `None` for any other value.
    pub(super) fn members(self, mut each: impl FnMut(Cow<'a, str>, Self)) -> Option<()> {
        let Self::Json(json) = self else { return None };
        read(json, |name, value| {
            each(name, value);
            Ok(())
        })
        .ok()
    }
}

/// The names of an object's members, as they come.
#[derive(Default)]
pub(super) struct Names<'a>(SmallVec<[Cow<'a, str>; FEW]>);

const FEW: usize = 16;

impl<'a> Names<'a> {
    pub(super) fn add(&mut self, name: Cow<'a, str>) -> Result<(), Unreadable> {
        // A few names are compared as they come. Many are sorted in the end, so that a thousand of them do not take a
        // million comparisons.
        if self.0.len() < FEW && self.0.contains(&name) {
            return Err(Self::TWICE);
        }
        self.0.push(name);
        Ok(())
    }

    /// Rejects names that came twice.
    pub(super) fn check(mut self) -> Result<(), Unreadable> {
        if self.0.len() > FEW {
            self.0.sort_unstable();
            if self.0.windows(2).any(|pair| pair[0] == pair[1]) {
                return Err(Self::TWICE);
            }
        }
        Ok(())
    }

    pub(super) const TWICE: Unreadable = "a member is there twice";
}

struct Reader<'a> {
    json: &'a str,
    /// The position of the next byte.
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn new(json: &'a str) -> Self {
        Self { json, at: 0, depth: 0 }
    }

    /// Calls `each` with the members of an object that has begun.
    #[inline]
    fn members(
        &mut self,
        each: &mut impl FnMut(Cow<'a, str>, Value<'a>) -> Result<(), Unreadable>,
    ) -> Result<(), Unreadable> {
        let mut is_first = true;
        while self.has_next(is_first, b'}')? {
            is_first = false;
            let name = match self.string()? {
                Value::Text(name) => Cow::Borrowed(name),
                // With escapes a name has many spellings.
                Value::Json(name) => Cow::Owned(serde_json::from_str(name).map_err(|_| SYNTAX)?),
            };
            self.take(b':')?;
            let value = self.value()?;
            each(name, value)?;
        }
        Ok(())
    }

    #[inline(always)]
    fn value(&mut self) -> Result<Value<'a>, Unreadable> {
        if self.peek() == Some(b'"') { self.string() } else { self.other().map(Value::Json) }
    }

    /// Returns the next value, which is not a string, as it is in the text.
    fn other(&mut self) -> Result<&'a str, Unreadable> {
        let first = self.peek();
        let start = self.at;
        match first {
            Some(b'{' | b'[') if self.depth == MAX_DEPTH => return Err(TOO_DEEP),
            Some(open @ (b'{' | b'[')) => {
                (self.at, self.depth) = (self.at + 1, self.depth + 1);
                if open == b'{' { self.object() } else { self.list() }?;
                self.depth -= 1;
            }
            _ => {
                self.at += self.rest().iter().take_while(|byte| !ends_scalar(**byte)).count();
                let scalar = self.json.get(start..self.at).ok_or(SYNTAX)?;
                return if is_scalar(scalar) { Ok(scalar) } else { Err(SYNTAX) };
            }
        }
        self.json.get(start..self.at).ok_or(SYNTAX)
    }

    #[inline(always)]
    fn string(&mut self) -> Result<Value<'a>, Unreadable> {
        self.take(b'"')?;
        let start = self.at;
        let mut has_escapes = false;
        loop {
            let special = self.at + special(self.rest()).ok_or(SYNTAX)?;
            self.at = special + 1;
            match self.json.as_bytes()[special] {
                b'"' if has_escapes => return escaped(&self.json[start - 1..self.at]),
                b'"' => return Ok(Value::Text(&self.json[start..special])),
                b'\\' => (has_escapes, self.at) = (true, self.at + 1),
                _ => return Err(SYNTAX),
            }
        }
    }

    fn object(&mut self) -> Result<(), Unreadable> {
        let mut names = Names::default();
        self.members(&mut |name, _| names.add(name))?;
        names.check()
    }

    /// Calls `each` with the items of a list that has begun.
    #[inline]
    fn items(
        &mut self,
        each: &mut impl FnMut(Value<'a>) -> Result<(), Unreadable>,
    ) -> Result<(), Unreadable> {
        let mut is_first = true;
        while self.has_next(is_first, b']')? {
            is_first = false;
            let item = self.value()?;
            each(item)?;
        }
        Ok(())
    }

    fn list(&mut self) -> Result<(), Unreadable> {
        self.items(&mut |_| Ok(()))
    }

    /// Goes to the next member or item. Returns false after the end of the object or list.
    #[inline]
    fn has_next(&mut self, is_first: bool, end: u8) -> Result<bool, Unreadable> {
        match self.peek() {
            Some(byte) if byte == end => self.at += 1,
            Some(_) if is_first => return Ok(true),
            _ => return self.take(b',').map(|()| true),
        }
        Ok(false)
    }

    #[inline]
    fn take(&mut self, expected: u8) -> Result<(), Unreadable> {
        let found = self.peek();
        self.at += 1;
        if found == Some(expected) { Ok(()) } else { Err(SYNTAX) }
    }

    /// Returns the next byte that is not white space.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.rest().first().copied() {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                byte => return byte,
            }
        }
    }

    #[inline]
    fn rest(&self) -> &'a [u8] {
        self.json.as_bytes().get(self.at..).unwrap_or_default()
    }
}

/// Returns a string with escapes. serde_json accepts escapes that are not text, `"\\ud800"`, in values that it skips.
#[cold]
fn escaped(json: &str) -> Result<Value<'_>, Unreadable> {
    match serde_json::from_str::<String>(json) {
        Ok(_) => Ok(Value::Json(json)),
        Err(_) => Err(NOT_TEXT),
    }
}

/// Returns the position of the first quote, backslash or control character. Names and most values are too short for
/// `memchr2`, whose calls take longer than this.
#[inline]
fn special(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    /// Sets the highest bit of the lowest byte that is less than `bound`. Those of higher bytes are not exact.
    const fn lowest_below(word: u64, bound: u8) -> u64 {
        word.wrapping_sub(ONES * bound as u64) & !word & (ONES << 7)
    }
    let (words, tail) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quote = lowest_below(word ^ (ONES * b'"' as u64), 1);
        let escape = lowest_below(word ^ (ONES * b'\\' as u64), 1);
        let found = quote | escape | lowest_below(word, b' ');
        if found != 0 {
            return Some(8 * at + found.trailing_zeros() as usize / 8);
        }
    }
    let in_tail = tail.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..b' '))?;
    Some(8 * words.len() + in_tail)
}

/// Returns true for a literal, and for a number that serde_json can read.
#[inline]
fn is_scalar(json: &str) -> bool {
    const MOST_DIGITS: usize = 19;
    let digits = json.as_bytes();
    let is_short_integer = matches!(digits, [b'1'..=b'9', ..])
        && digits.len() <= MOST_DIGITS
        && digits.iter().all(u8::is_ascii_digit);
    is_short_integer
        || matches!(json, "true" | "false" | "null")
        || serde_json::from_str::<f64>(json).is_ok()
}

/// Returns true for a byte after a number or a literal.
fn ends_scalar(byte: u8) -> bool {
    matches!(byte, b',' | b']' | b'}' | ..=b' ')
}

#[cfg(test)]
mod tests;
