//! Mistakes that serde_json accepts: names that come twice in an object, and halves of surrogate pairs in values that it skips.

use std::collections::HashSet;

use smallvec::SmallVec;

/// A mistake, with its position in bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    Duplicate { at: usize },
    TooDeep { at: usize },
    Surrogate { at: usize },
}

/// An object with more names than this remembers them in a set. Fewer are compared one by one, which is faster.
const FEW: usize = 16;

/// The names of all objects that are open. Usual bodies are not deep, and have few names: nothing is allocated for them.
#[derive(Default)]
struct Names<'t> {
    few: SmallVec<[&'t str; 32]>,
    /// The names of objects with many of them, or with names that have escapes, by the depth of the object.
    many: Vec<(usize, HashSet<String>)>,
}

/// The first name of an array, which has none.
const ARRAY: usize = usize::MAX;

/// Scans a text once. Text that is not JSON is skipped, because the parser reports it.
pub(crate) fn scan(text: &str, max_depth: usize, allows_duplicates: bool) -> Result<(), Flaw> {
    let bytes = text.as_bytes();
    let mut names = Names::default();
    // Where the names of the innermost object begin among those of all, and of the objects around it.
    let mut first = ARRAY;
    let mut around: SmallVec<[usize; 16]> = SmallVec::new();
    let mut at = 0;
    // True where a text would be a name.
    let mut expects_name = false;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'{' | b'[' => {
                if around.len() >= max_depth {
                    return Err(Flaw::TooDeep { at });
                }
                around.push(first);
                expects_name = *byte == b'{';
                first = if expects_name { names.few.len() } else { ARRAY };
            }
            b'}' | b']' => {
                names.close(around.len(), first);
                first = around.pop().unwrap_or(ARRAY);
                expects_name = false;
            }
            b',' => expects_name = first != ARRAY,
            b'"' => {
                let start = at + 1;
                let (end, has_escapes) = end_of_text(bytes, start);
                if has_escapes && let Some(half) = half_of_a_pair(&bytes[start..end]) {
                    return Err(Flaw::Surrogate { at: start + half });
                }
                if expects_name && !allows_duplicates {
                    let name = &text[start..end];
                    if !names.insert(around.len(), first, name, has_escapes) {
                        return Err(Flaw::Duplicate { at });
                    }
                }
                expects_name = false;
                at = end;
            }
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

impl<'t> Names<'t> {
    /// Adds a name to the object at this depth, whose names begin at `first`. Returns false if the object has it already.
    fn insert(&mut self, depth: usize, first: usize, name: &'t str, has_escapes: bool) -> bool {
        if let Some((_, many)) = self.many.last_mut().filter(|(of, _)| *of == depth) {
            return many.insert(unescaped(name, has_escapes));
        }
        let siblings = &self.few[first..];
        if has_escapes || siblings.len() >= FEW {
            let mut many: HashSet<String> = self.few.drain(first..).map(str::to_owned).collect();
            let is_new = many.insert(unescaped(name, has_escapes));
            self.many.push((depth, many));
            return is_new;
        }
        let is_new = !siblings.contains(&name);
        self.few.push(name);
        is_new
    }

    /// Forgets the names of the object or array at this depth.
    fn close(&mut self, depth: usize, first: usize) {
        if self.many.last().is_some_and(|(of, _)| *of == depth) {
            self.many.pop();
        }
        self.few.truncate(first);
    }
}

/// `"a"` and `"\u0061"` are the same name.
fn unescaped(name: &str, has_escapes: bool) -> String {
    let read = if has_escapes { serde_json::from_str(&format!("\"{name}\"")).ok() } else { None };
    read.unwrap_or_else(|| name.to_owned())
}

/// Where a text ends that begins here, and whether it has escapes. Both are at boundaries of characters, because quotes
/// and backslashes are ASCII.
fn end_of_text(bytes: &[u8], start: usize) -> (usize, bool) {
    let mut at = start;
    let mut has_escapes = false;
    while let Some(found) = quote_or_backslash(bytes, at) {
        at = found;
        if bytes[at] == b'"' {
            return (at, has_escapes);
        }
        has_escapes = true;
        at += 2;
    }
    (bytes.len(), has_escapes)
}

/// Returns the position of the first quote or backslash from `at` on. Eight bytes at a time: names and values are short, and
/// `memchr2` takes longer to start.
fn quote_or_backslash(bytes: &[u8], mut at: usize) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    // Marks the zero bytes of a word. Bytes above the first of them may be marked as well.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & (ONES << 7);
    while let Some(eight) = bytes.get(at..)?.first_chunk() {
        let word = u64::from_le_bytes(*eight);
        let found =
            zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\')));
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let rest = bytes[at..].iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    Some(at + rest)
}

/// The first `\uD800` to `\uDFFF` that has no other half.
fn half_of_a_pair(text: &[u8]) -> Option<usize> {
    let unit = |at: usize| {
        let escape = text.get(at..at + 6)?;
        let digits = std::str::from_utf8(escape.strip_prefix(b"\\u")?).ok()?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut at = 0;
    while at < text.len() {
        if text[at] != b'\\' {
            at += 1;
            continue;
        }
        match unit(at) {
            Some(0xd800..=0xdbff) => match unit(at + 6) {
                Some(0xdc00..=0xdfff) => at += 12,
                _ => return Some(at),
            },
            Some(0xdc00..=0xdfff) => return Some(at),
            _ => at += 2,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_duplicate_names_in_one_object() {
        for (text, at) in [
            (r#"{"a":1,"a":2}"#, 7),
            (r#"{"a":1,"\u0061":2}"#, 7),
            (r#"{"\u0061":1,"b":0,"a":2}"#, 18),
            (r#"[{"x":{"b":1,"c":[{"b":1}],"b":2}}]"#, 27),
            (r#"{"a":{"b":1},"a":{"b":2}}"#, 13),
            (r#"{"\u0061":{"\u0061":{"a":1}},"a":1}"#, 29),
        ] {
            assert_eq!(scan(text, 100, false), Err(Flaw::Duplicate { at }), "{text}");
        }
        for good in [
            r#"{"a":{"a":{"a":"a"}},"b":["a","a"],"c":"a"}"#,
            r#"[{"a":1},{"a":1}]"#,
            r#"[{"\u0061":1},{"\u0061":1},{"a":1}]"#,
            r#"{"\u0061":{"a":{"\u0061":1},"\u0062":1},"b":{"a":1}}"#,
            r#"{"a\"":1,"a":2,"":3}"#,
            r#"{"\\":1,"\\\\":2}"#,
        ] {
            assert_eq!(scan(good, 100, false), Ok(()), "{good}");
        }
    }

    #[test]
    fn object_with_many_names_is_scanned_in_linear_time() {
        let names: Vec<_> = (0..100_000).map(|at| format!("\"{at}\":0")).collect();
        let text = format!("{{{}}}", names.join(","));
        assert_eq!(scan(&text, 10, false), Ok(()));
        let text = format!("{{{},\"7\":1}}", names.join(","));
        assert!(matches!(scan(&text, 10, false), Err(Flaw::Duplicate { .. })));
    }

    #[test]
    fn depth_counts_nested_brackets() {
        assert_eq!(scan("[[[]]]", 3, false), Ok(()));
        assert_eq!(scan("[[[]]]", 2, false), Err(Flaw::TooDeep { at: 2 }));
        assert_eq!(scan(r#"["[[[["]"#, 1, false), Ok(()));
    }

    #[test]
    fn finds_lone_surrogates_but_accepts_pairs() {
        assert_eq!(scan(r#"{"a":"\ud83d\ude00"}"#, 9, false), Ok(()));
        assert_eq!(scan(r#"{"a":"\ud83d"}"#, 9, false), Err(Flaw::Surrogate { at: 6 }));
        assert_eq!(scan(r#"{"a":"\ude00\ud83d"}"#, 9, false), Err(Flaw::Surrogate { at: 6 }));
        assert_eq!(scan(r#"{"a":"\\ud83d"}"#, 9, false), Ok(()));
    }

    proptest::proptest! {
        #[test]
        fn finds_quotes_and_backslashes_as_a_plain_search(
            bytes in proptest::collection::vec(
                proptest::prop_oneof![proptest::num::u8::ANY, proptest::sample::select(&b"\"\\!#[]\xa2\xdc"[..])],
                0..40,
            ),
            at in 0usize..42,
        ) {
            let expected = (at..bytes.len()).find(|at| matches!(bytes[*at], b'"' | b'\\'));
            proptest::prop_assert_eq!(quote_or_backslash(&bytes, at), expected);
        }

        #[test]
        fn arbitrary_text_never_panics(text in "[\\[\\]{}\":,\\\\u0-9a-dé]{0,60}") {
            let _ = scan(&text, 5, false);
        }

        #[test]
        fn serde_json_output_has_no_flaw(keys in proptest::collection::hash_set(".{0,8}", 0..40)) {
            let object: serde_json::Map<_, _> = keys.into_iter().map(|key| (key, serde_json::Value::Null)).collect();
            let text = serde_json::to_string(&object).unwrap();
            proptest::prop_assert_eq!(scan(&text, 5, false), Ok(()));
        }
    }
}
