use std::time::Duration;

use http::{HeaderMap, header};
use palisade_core::{ConfigError, syntax::is_token};

/// The settings of a [`BodyLimit`](super::BodyLimit).
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) limit: u64,
    pub(super) by_type: Vec<(MediaType, u64)>,
    pub(super) mode: Mode,
    pub(super) overridable: bool,
    pub(super) each_message: bool,
    pub(super) drain_within: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Streaming,
    Buffered,
}

impl Rules {
    pub(super) fn limit_for(&self, headers: &HeaderMap) -> u64 {
        if self.by_type.is_empty() {
            return self.limit;
        }
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = content_type.and_then(|value| value.split(';').next()).map(str::trim);
        self.by_type
            .iter()
            .find(|(media_type, _)| essence.is_some_and(|essence| media_type.matches(essence)))
            .map_or(self.limit, |(_, limit)| *limit)
    }
}

/// A media type, or all subtypes of a type.
#[derive(Clone, Debug)]
pub(super) struct MediaType {
    kind: Box<str>,
    /// `None`: all of them.
    subtype: Option<Box<str>>,
}

impl MediaType {
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        match text.trim().split_once('/') {
            Some((kind, subtype)) if is_token(kind) && kind != "*" && is_token(subtype) => {
                Ok(Self { kind: kind.into(), subtype: (subtype != "*").then(|| subtype.into()) })
            }
            _ => Err(ConfigError::new(
                "content type",
                text,
                "write a type and a subtype without parameters, such as `multipart/form-data` or `image/*`",
            )),
        }
    }

    fn matches(&self, essence: &str) -> bool {
        essence.split_once('/').is_some_and(|(kind, subtype)| {
            kind.eq_ignore_ascii_case(&self.kind)
                && self.subtype.as_ref().is_none_or(|own| subtype.eq_ignore_ascii_case(own))
        })
    }
}
