//! What is stored: responses, by key.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header, request};
use palisade_core::{Principal, requested_uri};
use quick_cache::Equivalent;
use sha2::{Digest, Sha256};

use crate::rules::{Nominated, Scope, Terms, matches};

/// The key of a resource ([RFC 9111, section 2](https://www.rfc-editor.org/rfc/rfc9111#section-2)): host, path and query, the
/// caller or tenant that the entry is kept for, and the content of a QUERY.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) host: Box<str>,
    pub(crate) path_and_query: Box<str>,
    pub(crate) scope: Option<ScopeId>,
    pub(crate) content: Option<ContentId>,
}

/// A hash of the content of a QUERY, and of the fields that describe it (RFC 10008, section 2.7).
pub(crate) type ContentId = [u8; 16];

/// The identity of a caller or tenant: a hash of its names, because names may be long.
pub(crate) type ScopeId = [u8; 16];

/// A [`Key`] whose parts are those of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyRef<'r> {
    pub(crate) host: &'r str,
    pub(crate) path_and_query: &'r str,
    pub(crate) scope: Option<ScopeId>,
    pub(crate) content: Option<ContentId>,
}

impl Key {
    pub(crate) fn as_ref(&self) -> KeyRef<'_> {
        let Self { host, path_and_query, scope, content } = self;
        KeyRef { host, path_and_query, scope: *scope, content: *content }
    }

    pub(crate) fn path(&self) -> &str {
        self.path_and_query.split('?').next().unwrap_or_default()
    }
}

impl<'r> KeyRef<'r> {
    /// Returns the key of a request, or `None` if the request has several hosts. Two spellings of a host are two keys.
    pub(crate) fn of_request(request: &'r request::Parts, scope: Option<ScopeId>) -> Option<Self> {
        let uri = requested_uri(request);
        let host = match request.uri.authority().or(uri.authority()) {
            Some(authority) => authority.as_str(),
            None => {
                let mut lines = request.headers.get_all(header::HOST).iter();
                let host = lines.next().map_or(Ok(""), HeaderValue::to_str).ok()?;
                if lines.next().is_some() {
                    return None;
                }
                host
            }
        };
        let path_and_query = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        Some(Self { host, path_and_query, scope, content: None })
    }

    pub(crate) fn to_key(self) -> Key {
        Key {
            host: self.host.into(),
            path_and_query: self.path_and_query.into(),
            scope: self.scope,
            content: self.content,
        }
    }
}

impl Hash for KeyRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.host.hash(state);
        self.path_and_query.hash(state);
        self.scope.hash(state);
        self.content.hash(state);
    }
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self.path_and_query == *key.path_and_query
            && *self.host == *key.host
            && self.scope == key.scope
            && self.content == key.content
    }
}

/// Returns the identity that entries of this scope are kept for. `None` if the principal has none: it acts in no tenant.
///
/// An entry of a principal depends on its rights too: it must not outlive them.
pub(crate) fn scope_id(scope: Scope, principal: &Principal) -> Option<ScopeId> {
    let mut hash = Sha256::new();
    let mut add = |part: &str| {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    };
    match scope {
        Scope::Everyone => return None,
        Scope::Tenant => {
            add("tenant");
            add(principal.issuer());
            add(principal.tenant()?);
        }
        Scope::Principal => {
            add(if principal.is_foreign() { "foreign" } else { "own" });
            add(principal.issuer());
            add(principal.subject());
            add(principal.tenant().unwrap_or_default());
            // Each list with its length: a role must not count as a scope.
            let lists: [Vec<&str>; 3] = [
                principal.roles().collect(),
                principal.scopes().collect(),
                principal.tenants().collect(),
            ];
            for list in &lists {
                add(&list.len().to_string());
                list.iter().copied().for_each(&mut add);
            }
        }
    }
    hash.finalize()[..16].try_into().ok()
}

/// Returns the identity of the content of a QUERY.
pub(crate) fn content_id(headers: &HeaderMap, content: &[u8]) -> ContentId {
    let mut hash = Sha256::new();
    for name in [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::CONTENT_LANGUAGE] {
        for value in headers.get_all(&name) {
            hash.update(value.len().to_le_bytes());
            hash.update(value);
        }
        // Longer than any value: the end of the lines of this field.
        hash.update(u64::MAX.to_le_bytes());
    }
    hash.update(content);
    let digest: [u8; 32] = hash.finalize().into();
    let mut id = ContentId::default();
    id.copy_from_slice(&digest[..16]);
    id
}

/// A stored response.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) status: StatusCode,
    /// They contain `Age` and `Cache-Status`, as of a hit, so that serving them replaces values and adds no field.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) terms: Terms,
    pub(crate) nominated: Nominated,
    pub(crate) tags: Vec<Box<str>>,
    /// Each policy inside allows every caller.
    pub(crate) is_open: bool,
}

impl Stored {
    /// An estimate of the bytes that the entry takes in memory.
    pub(crate) fn size(&self) -> usize {
        let field = |name: &http::HeaderName, value: &HeaderValue| {
            name.as_str().len() + value.len() + FIELD_OVERHEAD
        };
        let headers: usize = self.headers.iter().map(|(name, value)| field(name, value)).sum();
        let nominated: usize = self
            .nominated
            .iter()
            .map(|(name, value)| {
                name.as_str().len() + value.as_ref().map_or(0, Bytes::len) + FIELD_OVERHEAD
            })
            .sum();
        let tags: usize = self.tags.iter().map(|tag| tag.len() + FIELD_OVERHEAD).sum();
        self.body.len() + headers + nominated + tags + ENTRY_OVERHEAD
    }
}

/// A name, a value, and their place in the map: 104 bytes; the allocation of a value.
const FIELD_OVERHEAD: usize = 144;
/// The entry, its references, and its place in the cache.
const ENTRY_OVERHEAD: usize = 512;

/// The responses that are stored for a key, the newest first: one for each combination of values of the fields in `Vary`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resource {
    pub(crate) variants: Arc<[Arc<Stored>]>,
}

/// A resource that varies more keeps its newest responses.
pub(crate) const MOST_VARIANTS: usize = 16;

impl Resource {
    /// Returns the newest response that matches the request
    /// ([RFC 9111, section 4.1](https://www.rfc-editor.org/rfc/rfc9111#section-4.1)).
    pub(crate) fn select(&self, request: &HeaderMap) -> Option<&Arc<Stored>> {
        self.variants.iter().find(|stored| matches(&stored.nominated, request))
    }

    /// Returns the resource with one more response, in place of the one for the same requests.
    pub(crate) fn with(&self, stored: Arc<Stored>, most_bytes: usize) -> Self {
        let others = self.variants.iter().filter(|other| other.nominated != stored.nominated);
        let mut left = most_bytes.saturating_sub(stored.size());
        let others = others.take_while(|other| {
            let fits = other.size() <= left;
            left = left.saturating_sub(other.size());
            fits
        });
        let others: Vec<_> = others.take(MOST_VARIANTS - 1).cloned().collect();
        Self { variants: std::iter::once(stored).chain(others).collect() }
    }

    pub(crate) fn size(&self) -> usize {
        self.variants.iter().map(|stored| stored.size()).sum()
    }
}
