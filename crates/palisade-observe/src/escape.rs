use std::fmt::{self, Write};

/// The maximum length of a logged value in characters, because clients choose the length of paths.
const MOST: usize = 1024;

/// Text of a client, safe for a line of the log: control characters are escaped, and long text is truncated.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.len() <= MOST && self.0.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) {
            return f.write_str(self.0);
        }
        for (at, character) in self.0.chars().enumerate() {
            if at == MOST {
                return f.write_str("…");
            }
            if may_deceive(character) {
                for escaped in character.escape_default() {
                    f.write_char(escaped)?;
                }
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

/// Ends a line, moves the cursor, or turns text around.
fn may_deceive(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_line_breaks_are_escaped() {
        let escaped = |text: &str| Escaped(text).to_string();
        assert_eq!(escaped("/items/7"), "/items/7");
        assert_eq!(escaped("ada\r\nINFO forged"), "ada\\r\\nINFO forged");
        assert_eq!(
            escaped("\u{1b}[31m\u{9b}\u{2028}\u{202e}"),
            "\\u{1b}[31m\\u{9b}\\u{2028}\\u{202e}"
        );
        assert_eq!(escaped("zoë"), "zoë");
        assert_eq!(escaped(&"x".repeat(5000)).chars().count(), MOST + 1);
    }
}
