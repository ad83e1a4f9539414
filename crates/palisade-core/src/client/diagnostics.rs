//! What an operator should hear about addresses, each thing once: clients can cause them at will.

use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderMap, HeaderName};

// Statics, because a request looks them up by reference: to clone a name of one's own may allocate.
pub(super) static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) static FORWARDED: HeaderName = http::header::FORWARDED;

/// Something that is worth a line in the log the first time it happens.
#[derive(Debug, Default)]
pub(super) struct Once(AtomicBool);

impl Once {
    pub(super) const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    pub(super) fn happened(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// True the first time.
    pub(super) fn is_first(&self) -> bool {
        !self.happened() && !self.0.swap(true, Ordering::Relaxed)
    }
}

/// Says once that requests are forwarded and nobody is trusted to forward them.
pub(super) fn forwarding_without_trust(headers: &HeaderMap) {
    static SAID: Once = Once::new();
    if SAID.happened() {
        return;
    }
    let header =
        [&X_FORWARDED_FOR, &FORWARDED].into_iter().find(|name| headers.contains_key(*name));
    if let Some(header) = header
        && SAID.is_first()
    {
        tracing::warn!(
            target: "palisade::client_ip",
            %header,
            "{header} is present, but no trusted proxies are configured: all clients behind a proxy share its address, \
             and one limit. If the proxy is yours, add TrustedProxies outside of whatever counts by address: \
             stack().client_ip(&TrustedProxies::networks([\"10.0.0.0/8\"]).build()?). This is said once"
        );
    }
}
