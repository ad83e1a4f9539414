use std::{fmt, str::FromStr};

use palisade_core::ConfigError;

/// A number of bytes, given as a `usize`, `u32` or `u64`, as a literal, or as text.
///
/// | unit | bytes |
/// | --- | --- |
/// | none, `b` | 1 |
/// | `kb`, `kib` | 1024 |
/// | `mb`, `mib` | 1024² = 1 048 576 |
/// | `gb`, `gib` | 1024³ = 1 073 741 824 |
/// | `tb`, `tib` | 1024⁴ |
///
/// All units are powers of 1024 and case-insensitive, as in the `bodyLimit: "1mb"` of Node.js frameworks.
///
/// ```
/// use palisade_body::ByteSize;
///
/// assert_eq!(ByteSize::parse("500kb")?, ByteSize::kb(500));
/// assert_eq!(ByteSize::parse("1 MiB")?.bytes(), 1_048_576);
/// assert_eq!(ByteSize::from(1_048_576), ByteSize::mb(1));
/// assert!(ByteSize::parse("1 megabyte").is_err());
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

const KB: u64 = 1024;
const MB: u64 = 1024 * KB;
const GB: u64 = 1024 * MB;
const TB: u64 = 1024 * GB;

impl ByteSize {
    /// Creates a size in bytes.
    ///
    /// ```
    /// use palisade_body::ByteSize;
    ///
    /// const LIMIT: ByteSize = ByteSize::new(1500);
    /// assert_eq!(LIMIT.to_string(), "1500b");
    /// ```
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Creates a size in units of 1024 bytes.
    ///
    /// ```
    /// use palisade_body::ByteSize;
    ///
    /// assert_eq!(ByteSize::kb(500).bytes(), 512_000);
    /// ```
    pub const fn kb(count: u64) -> Self {
        Self(count.saturating_mul(KB))
    }

    /// Creates a size in units of 1024² bytes.
    ///
    /// ```
    /// use palisade_body::ByteSize;
    ///
    /// assert_eq!(ByteSize::mb(1), ByteSize::kb(1024));
    /// ```
    pub const fn mb(count: u64) -> Self {
        Self(count.saturating_mul(MB))
    }

    /// Creates a size in units of 1024³ bytes.
    ///
    /// ```
    /// use palisade_body::ByteSize;
    ///
    /// assert_eq!(ByteSize::gb(1), ByteSize::mb(1024));
    /// ```
    pub const fn gb(count: u64) -> Self {
        Self(count.saturating_mul(GB))
    }

    /// Reads `1048576`, `500kb` or `1 MiB`.
    ///
    /// ```
    /// use palisade_body::ByteSize;
    ///
    /// assert_eq!(ByteSize::parse("500kb")?, ByteSize::kb(500));
    /// let error = ByteSize::parse("1.5mb").unwrap_err();
    /// assert!(error.to_string().contains("such as `1mb`"));
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the text is not a whole number and one of the units, or is more than fits into 64 bits.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let wrong = |remedy| ConfigError::new("size", text, remedy);
        let trimmed = text.trim();
        let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = trimmed.split_at(digits);
        let unit = match &*unit.trim_start().to_ascii_lowercase() {
            "" | "b" => 1,
            "kb" | "kib" => KB,
            "mb" | "mib" => MB,
            "gb" | "gib" => GB,
            "tb" | "tib" => TB,
            _ => return Err(wrong("write a whole number and b, kb, mb, gb or tb, such as `1mb`")),
        };
        if number.is_empty() {
            return Err(wrong("begin with a whole number, such as `1mb`"));
        }
        number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(unit))
            .map(Self)
            .ok_or_else(|| wrong("write a size that fits into 64 bits"))
    }

    /// The number of bytes.
    ///
    /// ```
    /// use palisade_body::ByteSize;
    ///
    /// assert_eq!(ByteSize::kb(2).bytes(), 2048);
    /// ```
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl From<u64> for ByteSize {
    fn from(bytes: u64) -> Self {
        Self(bytes)
    }
}

/// A count as `usize`, the type of axum's and tower-http's limits.
impl From<usize> for ByteSize {
    fn from(bytes: usize) -> Self {
        // More than 64 bits is more than any body.
        Self(u64::try_from(bytes).unwrap_or(u64::MAX))
    }
}

impl From<u32> for ByteSize {
    fn from(bytes: u32) -> Self {
        Self(u64::from(bytes))
    }
}

/// A literal without a type, such as `64 * 1024`, which Rust takes for an `i32`. A negative number counts as 0 bytes.
///
/// From 2 GiB on, write a unit (`ByteSize::gb(5)`) or a type (`5_000_000_000_u64`).
impl From<i32> for ByteSize {
    fn from(bytes: i32) -> Self {
        Self(u64::try_from(bytes).unwrap_or(0))
    }
}

impl FromStr for ByteSize {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        Self::parse(text)
    }
}

/// The largest unit that leaves a whole number: `500kb`, `1mb`, `1000b`.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = [(TB, "tb"), (GB, "gb"), (MB, "mb"), (KB, "kb")]
            .into_iter()
            .find(|(unit, _)| self.0 >= *unit && self.0.is_multiple_of(*unit))
            .unwrap_or((1, "b"));
        write!(f, "{}{name}", self.0 / unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_documented_sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("1024", 1024),
            ("10b", 10),
            ("500kb", 512_000),
            ("1mb", 1_048_576),
            ("1 MB", 1_048_576),
            (" 2 MiB ", 2_097_152),
            ("3gb", 3_221_225_472),
            ("1TB", 1_099_511_627_776),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(ByteSize::parse(text).map(ByteSize::bytes), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn invalid_size_is_an_error_with_examples() {
        for text in [
            "",
            "mb",
            "-1",
            "+1",
            "1.5mb",
            "1e6",
            "1m",
            "1 megabyte",
            "1mb 2kb",
            "1,000",
            "18446744073709551616",
            "16777216tb",
            "１mb",
        ] {
            let error = ByteSize::parse(text).unwrap_err();
            assert_eq!(error.setting(), "size", "{text}");
            let said = error.to_string();
            assert!(said.contains("`1mb`") || said.contains("64 bits"), "{said}");
        }
    }

    #[test]
    fn converts_from_every_integer_type() {
        let sizes: [ByteSize; 4] =
            [1024.into(), 1024_u32.into(), 1024_u64.into(), 1024_usize.into()];
        assert_eq!(sizes, [ByteSize::kb(1); 4]);
        assert_eq!(ByteSize::from(usize::MAX).bytes(), usize::MAX as u64);
        assert_eq!(ByteSize::from(-1), ByteSize::new(0), "fails closed");
    }

    #[test]
    fn size_round_trips_through_display() {
        for size in ["0b", "1000b", "500kb", "1mb", "1025kb", "3gb", "4tb"] {
            assert_eq!(ByteSize::parse(size).unwrap().to_string(), size);
        }
    }
}
