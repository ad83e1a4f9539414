use std::{borrow::Cow, fmt};

/// An invalid setting. The error names the setting, the value and the remedy.
///
/// `Debug` prints the same sentence as `Display`, because a `main` that returns a `Result` prints errors by `Debug`.
///
/// ```
/// use palisade_core::ConfigError;
///
/// let error = ConfigError::new("origin", "https://example.com/", "leave out the trailing slash");
/// assert_eq!(error.to_string(), "origin `https://example.com/` is not valid: leave out the trailing slash");
/// assert_eq!(format!("{error:?}"), error.to_string());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigError {
    setting: &'static str,
    value: Option<String>,
    remedy: Cow<'static, str>,
}

impl ConfigError {
    /// Creates the error of a `setting` with an invalid `value`. `remedy` says what to write instead.
    pub fn new(
        setting: &'static str,
        value: impl fmt::Display,
        remedy: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { setting, value: Some(value.to_string()), remedy: remedy.into() }
    }

    /// A `setting` that is missing, or whose value must not be printed.
    pub fn without_value(setting: &'static str, remedy: impl Into<Cow<'static, str>>) -> Self {
        Self { setting, value: None, remedy: remedy.into() }
    }

    /// The name of the setting.
    pub fn setting(&self) -> &'static str {
        self.setting
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => {
                write!(f, "{} `{value}` is not valid: {}", self.setting, self.remedy)
            }
            None => write!(f, "{} is not valid: {}", self.setting, self.remedy),
        }
    }
}

impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ConfigError {}
