use std::{fmt, sync::Arc};

use palisade_core::{Clock, ConfigError, SystemClock};

use super::{TokenSource, check::TokenCheck};
use crate::{
    CsrfCheck,
    challenge::Challenges,
    sender::{SenderCheck, SenderSettings},
};

/// The settings of a [`TokenCheck`].
pub(crate) struct TokenSettings {
    /// Empty: `Authorization: Bearer`.
    sources: Vec<TokenSource>,
    pub(crate) csrf: CsrfCheck,
    pub(crate) sender: SenderSettings,
    pub(crate) realm: String,
    pub(crate) clock: Arc<dyn Clock>,
}

impl TokenSettings {
    pub(crate) fn new() -> Self {
        Self {
            sources: Vec::new(),
            csrf: CsrfCheck::new(),
            sender: SenderSettings::default(),
            realm: "api".to_owned(),
            clock: SystemClock::shared(),
        }
    }

    /// Adds a place. A place that is added twice counts once: it would otherwise contain two tokens.
    pub(crate) fn add_source(&mut self, source: TokenSource) {
        if !self.sources.iter().any(|other| other.is_same(&source)) {
            self.sources.push(source);
        }
    }

    pub(crate) fn build(self) -> Result<TokenCheck, ConfigError> {
        let mut sources = self.sources;
        sources.iter().try_for_each(TokenSource::check)?;
        for (at, source) in sources.iter().enumerate() {
            if let Some(other) = sources[..at].iter().find(|other| source.overlaps(other)) {
                return Err(source.overlap_error(other));
            }
        }
        if self.sender.has_dpop() {
            sources.iter().try_for_each(TokenSource::check_beside_dpop)?;
        }
        if sources.is_empty() {
            sources.push(TokenSource::Authorization("Bearer".to_owned()));
        }
        let scheme = sources.iter().find_map(|source| match source {
            TokenSource::Authorization(scheme) => Some(scheme.as_str()),
            _ => None,
        });
        let challenges = Challenges::new(scheme.unwrap_or("Bearer"), &self.realm)?;
        let sender = SenderCheck::new(self.sender, &self.realm, &self.clock)?;
        Ok(TokenCheck { sources, csrf: self.csrf, sender, challenges })
    }
}

impl fmt::Debug for TokenSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSettings")
            .field("sources", &self.sources)
            .field("csrf", &self.csrf)
            .field("sender", &self.sender)
            .field("realm", &self.realm)
            .finish_non_exhaustive()
    }
}

/// Writes the setters of [`TokenSettings`], for builders with a field `tokens`.
macro_rules! token_setters {
    () => {
        /// Accepts tokens in `Authorization: Bearer`. This is the default if no place is set; call it to add this place to others.
        #[must_use]
        pub fn token_in_bearer(self) -> Self {
            self.token_in_authorization("Bearer")
        }

        /// Accepts tokens in `Authorization` with another scheme, such as `Token`. Schemes have no case. The scheme that is set
        /// first is also the one of the challenges; [`ProtectedResource`](crate::ProtectedResource) has a setting for it.
        #[must_use]
        pub fn token_in_authorization(mut self, scheme: impl Into<String>) -> Self {
            self.tokens.add_source(crate::access_token::TokenSource::Authorization(scheme.into()));
            self
        }

        /// Accepts tokens in a cookie of this name.
        ///
        /// A browser sends a cookie with requests of any page. So this turns the [`CsrfCheck`](crate::CsrfCheck) on: a
        /// request with a cookie that may change something must come from a page of the same origin, and gets 403 otherwise.
        #[must_use]
        pub fn token_in_cookie(mut self, name: impl Into<String>) -> Self {
            self.tokens.add_source(crate::access_token::TokenSource::Cookie(name.into()));
            self
        }

        /// Sets the check for requests whose token is in a cookie, to trust other origins.
        #[must_use]
        pub fn csrf(mut self, check: crate::CsrfCheck) -> Self {
            self.tokens.csrf = check;
            self
        }

        /// Accepts tokens in a header field that contains the token and nothing else.
        #[must_use]
        pub fn token_in_header(mut self, name: http::HeaderName) -> Self {
            self.tokens.add_source(crate::access_token::TokenSource::Header(name));
            self
        }

        /// Accepts tokens in `Sec-WebSocket-Protocol`, as an entry that begins with `prefix`. A browser cannot set other
        /// headers of a WebSocket: `new WebSocket(url, ["chat.v1", "bearer." + token])` with the prefix `bearer.`.
        ///
        /// The entry is removed before the request reaches the handler, which therefore cannot repeat the token in its
        /// response. The handler selects one of the other protocols, here `chat.v1`: a browser closes a connection whose
        /// response selects none, so the client must offer one beside the token.
        #[must_use]
        pub fn token_in_websocket_protocol(mut self, prefix: impl Into<String>) -> Self {
            self.tokens
                .add_source(crate::access_token::TokenSource::WebSocketProtocol(prefix.into()));
            self
        }

        /// Accepts tokens in a parameter of the query, from where they get into logs, histories and `Referer` fields
        /// (RFC 6750, section 2.3 advises against it).
        #[must_use]
        pub fn insecure_token_in_query(mut self, parameter: impl Into<String>) -> Self {
            self.tokens.add_source(crate::access_token::TokenSource::Query(parameter.into()));
            self
        }

        /// Accepts tokens that are bound to a key of the client, with a proof of it in each request (DPoP, RFC 9449). A token that
        /// is bound to a key is otherwise rejected. Needs the feature `aws-lc` or `rust-crypto`.
        #[cfg(feature = "_public-keys")]
        #[must_use]
        pub fn dpop(mut self, dpop: crate::Dpop) -> Self {
            self.tokens.sender.dpop = Some(dpop);
            self
        }

        /// Sets where the client's certificate comes from, for tokens that are bound to it (`cnf.x5t#S256`, RFC 8705). Default:
        /// the [`PeerCertificate`](crate::PeerCertificate) that the server leaves in the request's extensions. A token that is
        /// bound to a certificate is rejected if the request comes without it.
        #[must_use]
        pub fn client_certificates(mut self, certificates: crate::ClientCertificates) -> Self {
            self.tokens.sender.certificates = certificates;
            self
        }

        /// Accepts tokens that are bound to a client (`cnf`) from any client, as if they were bearer tokens. A stolen token is
        /// then worth as much as one that is not bound. For a service behind a gateway that checks the binding.
        #[must_use]
        pub fn insecure_accept_bound_tokens_as_bearer(mut self) -> Self {
            self.tokens.sender.accept_as_bearer = true;
            self
        }

        /// Sets the realm of the challenges. Default: `api`.
        #[must_use]
        pub fn realm(mut self, realm: impl Into<String>) -> Self {
            self.tokens.realm = realm.into();
            self
        }

        /// Uses this clock. Default: the system's.
        #[must_use]
        pub fn clock(mut self, clock: std::sync::Arc<dyn palisade_core::Clock>) -> Self {
            self.tokens.clock = clock;
            self
        }
    };
}
pub(crate) use token_setters;
