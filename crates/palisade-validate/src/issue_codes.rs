//! The codes of issues: what rules find, by names that never change.

use palisade_core::IssueCode;

/// A code of an issue. The constants of this module are all that exist, so each is explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code(&'static str);

impl Code {
    pub(crate) fn as_str(self) -> &'static str {
        self.0
    }
}

macro_rules! issue_codes {
    ($($constant:ident = $code:literal, $about:literal, [$($param:literal),*];)*) => {
        $(pub(crate) const $constant: Code = Code($code);)*

        /// The codes that this crate gives to issues. Issues of rules of your own have `invalid`.
        ///
        /// | code | meaning | `params` |
        /// | --- | --- | --- |
        $(#[doc = concat!("| `", $code, "` | ", $about, " | ", $("`", $param, "` ",)* "|")])*
        ///
        /// ```
        /// assert!(palisade_validate::ISSUE_CODES.iter().any(|issue| issue.code == "too_small"));
        /// ```
        pub const ISSUE_CODES: &[IssueCode] =
            &[$(IssueCode::new($constant.0, $about, &[$($param),*]),)*];
    };
}

issue_codes! {
    MISSING = "missing", "A field that must be there is not.", [];
    WRONG_TYPE = "wrong_type", "Another type is expected, or a number of another range.", ["expected"];
    INVALID_OPTION = "invalid_option", "None of the words or forms that are allowed.", ["options"];
    UNKNOWN_FIELD = "unknown_field", "A field that is not known, where that is refused.", [];
    INVALID_KEY = "invalid_key", "A name in a map is not a valid key.", [];
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
    INVALID_FILE_NAME = "invalid_file_name", "The name of a file is not safe to store it under.", [];
    INVALID_FILE_TYPE = "invalid_file_type", "A file is of a type that is not taken.", ["types"];
    INVALID = "invalid", "A rule of the service's own, with its message; or a value that its type refused.", [];
}
