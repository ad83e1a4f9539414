/// How a document is examined.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mode {
    /// Strings become numbers, booleans and lists where the type asks for them.
    pub(crate) coerces_text: bool,
    /// Fields that a struct does not know are rejected, also without `#[serde(deny_unknown_fields)]`.
    pub(crate) refuses_unknown: bool,
    /// `on` is true, as HTML checkboxes send it.
    pub(crate) reads_checkboxes: bool,
    /// Messages of a type's own `Deserialize` are shown.
    pub(crate) shows_own_words: bool,
    /// Only the first mistake is reported.
    pub(crate) only_first: bool,
}

impl Mode {
    /// Returns the boolean that a text stands for.
    pub(super) fn boolean(self, text: &str) -> Option<bool> {
        match text {
            "true" | "1" => Some(true),
            "on" if self.reads_checkboxes => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        }
    }
}
