//! What a file may be called, and what it may be.

use super::uploads::Caps;
use crate::{
    issue_codes,
    place::{Found, Place},
};

/// How many of a file's first bytes tell what it is.
pub(super) const TELLING: usize = 4 * 1024;

/// What is known of a file before it is read: all but its first bytes.
#[derive(Debug)]
pub(super) struct About {
    pub(super) field: String,
    pub(super) name: Option<String>,
    pub(super) content_type: String,
}

impl Caps {
    /// The file, if it may come, or what is wrong with it.
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
            let words = "its file name must be without directories and control characters";
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

    /// What a file is, if it may be that.
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

/// RFC 7578, section 4.2: a name must not be used as it is. These would be dangerous to whoever does.
fn is_a_file_name(name: &str) -> bool {
    name.len() <= 255
        && !name.starts_with('.')
        && !name.ends_with(['.', ' '])
        && !name.chars().any(|char| char.is_control() || "/\\:*?\"<>|".contains(char))
}
