use std::fmt;

use palisade_core::ApiError;

/// Why a token is rejected. The reason is for the log; the client learns only that the token is not valid or expired.
#[derive(Debug)]
pub(crate) enum Fault {
    TooLong,
    Malformed,
    Header(Reason),
    KeyIdTooLong,
    Algorithm,
    Critical,
    Type,
    UnknownKey,
    AmbiguousKey,
    Signature,
    KnownBad,
    /// The claims, or the named one of them, cannot be read.
    Unreadable(Option<Box<str>>, Reason),
    /// A required claim is absent.
    Missing(&'static str),
    Expired,
    NotYetValid,
    IssuedInFuture,
    TooOld,
    LivesTooLong,
    /// `iss` is not a configured issuer.
    Issuer(Reason),
    Audience(Reason),
    /// The token has no audience, and its client is not in the allowlist.
    Client,
    /// The token is not an access token of RFC 9068.
    AccessToken,
    /// The issuer says that the token is not active.
    #[cfg(feature = "introspection")]
    Inactive,
    /// A check of the user rejects the claims, with this error.
    Own(Box<ApiError>),
}

/// Details for the log, of limited length: part of a token's author is the attacker.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reason(Box<str>);

impl Reason {
    const MAX_CHARS: usize = 200;

    pub(super) fn new(reason: impl fmt::Display) -> Self {
        Self(reason.to_string().chars().take(Self::MAX_CHARS).collect())
    }
}

impl Fault {
    pub(super) fn header(error: impl fmt::Display) -> Self {
        Self::Header(Reason::new(error))
    }

    pub(super) fn unreadable(claim: Option<&str>, error: impl fmt::Display) -> Self {
        Self::Unreadable(claim.map(Into::into), Reason::new(error))
    }

    /// Returns true if the token may be signed with a newer key than the one that it was checked with: the issuer may
    /// have replaced a key under the same `kid`, by one for another algorithm too.
    #[cfg(feature = "jwks")]
    pub(super) fn may_be_an_older_key(&self) -> bool {
        matches!(self, Self::Signature | Self::KnownBad | Self::Algorithm)
    }

    /// Writes the event of a rejected token. `issuer` is the configured one whose keys and settings apply.
    pub(crate) fn log(&self, key_id: Option<&str>, issuer: Option<&str>) {
        log_rejection!(
            check = self.check(),
            claim = self.claim(),
            kid = key_id,
            issuer,
            reason = self.reason(),
            "a token was rejected",
        );
    }

    /// Returns the name of the failed check.
    fn check(&self) -> &'static str {
        match self {
            Self::TooLong => "token length",
            Self::Malformed => "token syntax",
            Self::Header(_) => "header",
            Self::KeyIdTooLong => "key id length",
            Self::Algorithm => "algorithm",
            Self::Critical => "critical header parameters",
            Self::Type => "type",
            Self::UnknownKey => "key",
            Self::AmbiguousKey => "unambiguous key",
            Self::Signature => "signature",
            Self::KnownBad => "signature, seen before",
            Self::Unreadable(..) => "claims",
            Self::Missing(_) => "required claim",
            Self::Expired => "expiry",
            Self::NotYetValid => "not before",
            Self::IssuedInFuture => "issued in the past",
            Self::TooOld => "max_age",
            Self::LivesTooLong => "max_lifetime",
            Self::Issuer(_) => "issuer",
            Self::Audience(_) => "audience",
            Self::Client => "client without audience",
            Self::AccessToken => "access token",
            #[cfg(feature = "introspection")]
            Self::Inactive => "introspection",
            Self::Own(_) => "validate",
        }
    }

    /// Returns the claim or header parameter that the check is about.
    fn claim(&self) -> Option<&str> {
        match self {
            Self::KeyIdTooLong | Self::UnknownKey | Self::AmbiguousKey => Some("kid"),
            Self::Algorithm => Some("alg"),
            Self::Critical => Some("crit"),
            Self::Type | Self::AccessToken => Some("typ"),
            Self::Unreadable(claim, _) => claim.as_deref(),
            Self::Missing(claim) => Some(claim),
            Self::Expired | Self::LivesTooLong => Some("exp"),
            Self::NotYetValid => Some("nbf"),
            Self::IssuedInFuture | Self::TooOld => Some("iat"),
            Self::Issuer(_) => Some("iss"),
            Self::Audience(_) => Some("aud"),
            Self::Client => Some("client_id"),
            #[cfg(feature = "introspection")]
            Self::Inactive => Some("active"),
            Self::TooLong
            | Self::Malformed
            | Self::Header(_)
            | Self::Signature
            | Self::KnownBad
            | Self::Own(_) => None,
        }
    }

    fn reason(&self) -> Option<&str> {
        match self {
            Self::Header(reason)
            | Self::Unreadable(_, reason)
            | Self::Issuer(reason)
            | Self::Audience(reason) => Some(&reason.0),
            Self::Own(error) => Some(error.message()),
            _ => None,
        }
    }
}
