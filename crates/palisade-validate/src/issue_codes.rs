//! The codes of issues: what rules find, by names that never change.

use palisade_core::IssueCode;

macro_rules! issue_codes {
    ($($constant:ident = $code:literal, $about:literal, [$($param:literal),*];)*) => {
        $(pub(crate) const $constant: &str = $code;)*

        /// Every code that this crate gives to issues: what `docs/errors.md` lists, and `docs/errors.json` for programs.
        /// Rules of your own say `invalid`.
        ///
        /// ```
        /// for issue in palisade_validate::ISSUE_CODES {
        ///     println!("{}: {}", issue.code, issue.about);
        /// }
        /// ```
        pub const ISSUE_CODES: &[IssueCode] =
            &[$(IssueCode::new($constant, $about, &[$($param),*]),)*];
    };
}

issue_codes! {
    MISSING = "missing", "A field that must be there is not.", [];
    WRONG_TYPE = "wrong_type", "Another type is expected, or a number of another range.", ["expected"];
    INVALID_OPTION = "invalid_option", "None of the words or forms that are allowed.", ["options"];
    UNKNOWN_FIELD = "unknown_field", "A field that is not known, where that is refused.", [];
    INVALID_KEY = "invalid_key", "A name in a map that is none.", [];
    TOO_SHORT = "too_short", "A text or a list has too little in it.", ["min"];
    TOO_LONG = "too_long", "A text or a list has too much in it.", ["max"];
    TOO_SMALL = "too_small", "A number is under its limit.", ["min", "above"];
    TOO_BIG = "too_big", "A number is over its limit.", ["max", "below"];
    NOT_MULTIPLE_OF = "not_multiple_of", "A number is no multiple of another.", ["of"];
    NOT_UNIQUE = "not_unique", "A list has the same item twice.", [];
    INVALID_EMAIL = "invalid_email", "A text that should be an email address is none.", ["format"];
    INVALID_URL = "invalid_url", "A text that should be a URL is none.", ["format"];
    INVALID_IP = "invalid_ip", "A text that should be an IP address is none.", ["kind", "format"];
    INVALID_PHONE_NUMBER = "invalid_phone_number", "A text that should be a phone number is none.", [];
    INVALID_CREDIT_CARD = "invalid_credit_card", "A text that should be the number of a credit card is none.", [];
    INVALID_FORMAT = "invalid_format", "A text does not have its format.", ["prefix", "suffix", "substring", "format"];
    MISMATCH = "mismatch", "Two fields that should be equal are not.", ["field"];
    TOO_MANY_FILES = "too_many_files", "A field has more files than it may have.", ["max"];
    INVALID_FILE_NAME = "invalid_file_name", "The name of a file is missing, or is a path.", [];
    INVALID_FILE_TYPE = "invalid_file_type", "A file is of a type that is not taken.", ["types"];
    INVALID = "invalid", "A rule of the service's own, with its message; or a value that its type refused.", [];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_explained_once_and_named_in_the_documentation() {
        let documentation = include_str!("lib.rs");
        for (at, issue) in ISSUE_CODES.iter().enumerate() {
            let code = issue.code;
            assert!(documentation.contains(&format!("`{code}`")), "{code}");
            assert!(
                ISSUE_CODES[..at].iter().all(|other| other.code != code),
                "{code} is there twice"
            );
            assert!(issue.about.ends_with('.'), "{code} says what it is about");
        }
    }

    /// A code that is written out where it is found is one that the list may lack.
    #[test]
    fn no_rule_has_a_code_that_the_list_lacks() {
        let mut files = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
        let mut read = 0;
        while let Some(file) = files.pop() {
            if file.is_dir() {
                files.extend(std::fs::read_dir(&file).unwrap().map(|entry| entry.unwrap().path()));
                continue;
            }
            let text = std::fs::read_to_string(&file).unwrap();
            let code: String = text
                .split("#[cfg(test)]")
                .next()
                .unwrap_or_default()
                .lines()
                .map(str::trim)
                .filter(|line| !line.starts_with("//"))
                .collect();
            for (call, at) in [
                ("Found::new(", 1),
                ("Complaint::new(", 0),
                (".rule(", 0),
                ("bound(", 0),
                ("plain(", 0),
                (".found(", 0),
            ] {
                for arguments in code.split(call).skip(1) {
                    let argument = arguments.split(',').nth(at).unwrap_or_default().trim();
                    assert!(!argument.starts_with('"'), "{argument} in {}", file.display());
                    read += 1;
                }
            }
        }
        assert!(read > 40, "the sources were looked through: {read}");
    }
}
