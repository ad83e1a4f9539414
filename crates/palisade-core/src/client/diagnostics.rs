//! Log lines about addresses, each logged once, because clients can cause them.

use std::{
    cell::Cell,
    sync::atomic::{AtomicBool, Ordering},
};

use http::{HeaderMap, HeaderName};

use super::{
    model::{FORWARDED, MOST_HOPS, Model, X_FORWARDED_FOR},
    peer::Peer,
};

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

/// Logs once that requests are forwarded without trusted proxies.
pub(super) fn forwarding_without_trust(headers: &HeaderMap) {
    static SAID: Once = Once::new();
    if SAID.happened() || !is_looked_at() {
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

thread_local! {
    static REQUESTS: Cell<u32> = const { Cell::new(0) };
}

/// Returns true for the first requests of a thread and for each sixteenth later one: two look-ups of headers take longer than
/// a rate limit takes to count.
#[inline]
fn is_looked_at() -> bool {
    let request = REQUESTS.get();
    REQUESTS.set(request.wrapping_add(1));
    request < 64 || request.is_multiple_of(16)
}

/// The lines that one policy has logged.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) untrusted_peer: Once,
    pub(super) other_header: Once,
    pub(super) too_few_hops: Once,
    pub(super) too_many_hops: Once,
    pub(super) malformed: Once,
    pub(super) not_one_address: Once,
}

impl Log {
    pub(super) fn untrusted_peer(&self, model: &Model, headers: &HeaderMap, peer: Peer) {
        if self.untrusted_peer.happened() || !headers.contains_key(model.header()) {
            return;
        }
        if self.untrusted_peer.is_first() {
            let remedy = match peer {
                Peer::Address(_) => "if it is your proxy, add its network",
                Peer::UnixSocket => "if it is your proxy, add `unix_sockets`",
                Peer::Unknown => {
                    "the server must add the peer's address to the request: see ClientIp"
                }
            };
            tracing::info!(
                target: "palisade::client_ip",
                header = %model.header(),
                ?peer,
                remedy,
                "a peer that is not a trusted proxy sent a forwarding header, which was ignored. Logged once"
            );
        }
    }

    pub(super) fn ignored_headers(&self, model: &Model, headers: &HeaderMap) {
        if self.other_header.happened() {
            return;
        }
        let chosen = model.header();
        let other = [&X_FORWARDED_FOR, &FORWARDED]
            .into_iter()
            .find(|name| *name != chosen && headers.contains_key(*name));
        // Many proxies write X-Forwarded-For beside their own header, with the same address in it.
        let is_usual = matches!(model, Model::Header(_)) && headers.contains_key(chosen);
        if let Some(other) = other
            && !is_usual
            && self.other_header.is_first()
        {
            tracing::warn!(
                target: "palisade::client_ip",
                %chosen,
                ignored = %other,
                "a trusted proxy sent {other}, which is ignored: {chosen} was chosen. Choose the header that your \
                 proxies write, and have them remove the other. Logged once"
            );
        }
    }

    pub(super) fn too_few_hops(&self, count: usize) {
        if self.too_few_hops.is_first() {
            tracing::warn!(
                target: "palisade::client_ip",
                count,
                "a request came with fewer forwarded addresses than `hops`, and its peer counts as the client: either \
                 it did not pass all proxies, or the count is too high. Logged once"
            );
        }
    }

    pub(super) fn too_many_hops(&self) {
        if self.too_many_hops.is_first() {
            tracing::warn!(
                target: "palisade::client_ip",
                "a request came through more than {MOST_HOPS} trusted proxies, and the furthest of these counts as the \
                 client: look for a loop, or for a network in `networks` that has clients in it. Logged once"
            );
        }
    }

    pub(super) fn malformed(&self) {
        if self.malformed.is_first() {
            tracing::warn!(
                target: "palisade::client_ip",
                "a Forwarded header was malformed (RFC 7239, section 4) or longer than 8 KiB, and all of it was ignored: \
                 have your first proxy replace the header of clients. Logged once"
            );
        }
    }

    pub(super) fn not_one_address(&self, header: &HeaderName) {
        if self.not_one_address.is_first() {
            tracing::warn!(
                target: "palisade::client_ip",
                %header,
                "a trusted proxy sent no {header}, or more than one, or an invalid address, and the proxy counts as the client. Logged once"
            );
        }
    }
}
