//! The accepted names and types of files.

use super::uploads::Caps;
use crate::{
    issue_codes,
    place::{Found, Place},
};

/// How many of a file's first bytes are used to recognise its type.
pub(super) const TELLING: usize = 4 * 1024;

/// The metadata of a file.
#[derive(Debug)]
pub(super) struct About {
    pub(super) field: String,
    pub(super) name: Option<String>,
    pub(super) content_type: String,
}

impl Caps {
    /// Returns the accepted file, or its issues.
    pub(super) fn admit(
        &self,
        field: String,
        name: String,
        declared: Option<String>,
        first: &[u8],
    ) -> Result<About, Vec<Found>> {
        let place = Place::default().name(&field);
        let mut wrong = Vec::new();
        if !is_a_file_name(&name) {
            let words = "its file name is not safe to store a file under";
            wrong.push(Found::new(place.clone(), issue_codes::INVALID_FILE_NAME, words));
        }
        match self.type_of(first, declared) {
            Some(content_type) if wrong.is_empty() => {
                let name = (!name.is_empty()).then_some(name);
                return Ok(About { field, name, content_type });
            }
            Some(_) => {}
            None => {
                let types: Vec<_> =
                    self.types.iter().chain(&self.unchecked_types).cloned().collect();
                let words = format!("must be a file of type {}", types.join(" or "));
                wrong.push(
                    Found::new(place, issue_codes::INVALID_FILE_TYPE, words)
                        .with_param("types", types),
                );
            }
        }
        Err(wrong)
    }

    /// Returns the type of a file, if it is accepted.
    fn type_of(&self, first: &[u8], declared: Option<String>) -> Option<String> {
        let told = infer::get(first).map(|told| told.mime_type());
        let allows_all = self.types.is_empty() && self.unchecked_types.is_empty();
        match told {
            Some(told) if allows_all || self.types.iter().any(|allowed| allowed == told) => {
                Some(told.to_owned())
            }
            Some(_) => None,
            None if allows_all => {
                Some(declared.unwrap_or_else(|| "application/octet-stream".to_owned()))
            }
            None => declared.filter(|declared| self.unchecked_types.contains(declared)),
        }
    }
}

/// Returns true for a name that is safe to store a file under, on any system (RFC 7578, section 4.2).
fn is_a_file_name(name: &str) -> bool {
    name.len() <= 255
        && !name.starts_with('.')
        && !name.ends_with(['.', ' '])
        // A colon names a stream of another file on Windows.
        && !name.chars().any(|char| char.is_control() || "/\\:*?\"<>|".contains(char))
        && !name.contains(is_deceptive)
        && !is_a_device(name)
}

/// Returns true for a mark that changes how the rest of a name is shown: with U+202E, `gpj.exe` is shown as `exe.jpg`.
fn is_deceptive(char: char) -> bool {
    matches!(
        char,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // Line and paragraph separators.
            | '\u{2028}' | '\u{2029}'
    )
}

/// Returns true for a name that Windows gives to a device, in any case and with any extension: `nul.txt` is not a file.
fn is_a_device(name: &str) -> bool {
    const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];
    let stem = name.split('.').next().unwrap_or_default().trim_end_matches(' ').to_uppercase();
    let is_port = ["COM", "LPT"].iter().any(|port| {
        let number = stem.strip_prefix(port).map(|number| number.chars().collect::<Vec<_>>());
        matches!(number.as_deref(), Some(['0'..='9' | '¹' | '²' | '³']))
    });
    is_port || DEVICES.contains(&&*stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_deceptive_and_device_file_names() {
        for good in
            ["a.txt", "concert.txt", "comma.txt", "com10.txt", "Übung 1.pdf", "a.b.c", "nul1"]
        {
            assert!(is_a_file_name(good), "{good}");
        }
        for bad in [
            "CON",
            "con.txt",
            "Nul.tar.gz",
            "AUX .txt",
            "com1.txt",
            "LPT9",
            "COM¹",
            "conin$",
            "a.txt.",
            "a.txt ",
            "a.txt:evil.exe",
            "a.txt::$DATA",
            "photo\u{202e}gpj.exe",
            "a\u{2066}b",
            "a\u{200f}.txt",
            "a\r\nb",
            ".htaccess",
            "a/b",
            "a\\b",
        ] {
            assert!(!is_a_file_name(bad), "{bad}");
        }
    }
}
