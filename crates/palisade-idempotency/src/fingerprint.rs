use http::{header, request};
use palisade_core::{Principal, requested_uri, syntax::LowerHex};
use sha2::{Digest, Sha256};

/// A hash over fields with their lengths, so that two lists of fields never have the same bytes.
struct Fields(Sha256);

impl Fields {
    fn new() -> Self {
        Self(Sha256::new())
    }

    fn and(mut self, field: impl AsRef<[u8]>) -> Self {
        let field = field.as_ref();
        self.0.update((field.len() as u64).to_be_bytes());
        self.0.update(field);
        self
    }

    fn hash(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// Identifies the request: method, path and query, content type, and the bytes of the body.
pub(crate) fn request_fingerprint(head: &request::Parts, body: &[u8]) -> [u8; 32] {
    let uri = requested_uri(head);
    let target = uri.path_and_query().map_or("", |target| target.as_str());
    let content_type =
        head.headers.get(header::CONTENT_TYPE).map_or(&[] as &[u8], |value| value.as_bytes());
    Fields::new().and(head.method.as_str()).and(target).and(content_type).and(body).hash()
}

/// Who uses a key: keys of different callers never meet.
#[derive(Debug)]
pub(crate) enum Scope<'a> {
    Principal(&'a Principal),
    /// The user's own scope.
    Custom(String),
}

/// Returns the key in the store: of constant length, also for long keys and routes.
pub(crate) fn store_key(scope: &Scope<'_>, head: &request::Parts, key: &str) -> String {
    let fields = match scope {
        Scope::Principal(caller) => Fields::new()
            .and("principal")
            .and(caller.issuer())
            .and(caller.subject())
            .and(if caller.tenant().is_some() { "tenant" } else { "" })
            .and(caller.tenant().unwrap_or_default()),
        Scope::Custom(scope) => Fields::new().and("custom").and(scope),
    };
    let hash = fields.and(head.method.as_str()).and(route(head)).and(key).hash();
    format!("idempotency:{}", LowerHex(&hash))
}

/// Returns the template of axum's route, or the path.
fn route(head: &request::Parts) -> &str {
    #[cfg(feature = "axum")]
    if let Some(route) = head.extensions.get::<axum::extract::MatchedPath>() {
        return route.as_str();
    }
    requested_uri(head).path()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(method: &str, uri: &str, content_type: &str) -> request::Parts {
        let request =
            Request::builder().method(method).uri(uri).header("content-type", content_type);
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn fingerprint_covers_method_address_content_type_and_body() {
        let all = [
            request_fingerprint(&head("POST", "/a?b=1", "text/plain"), b"body"),
            request_fingerprint(&head("PATCH", "/a?b=1", "text/plain"), b"body"),
            request_fingerprint(&head("POST", "/a?b=2", "text/plain"), b"body"),
            request_fingerprint(&head("POST", "/a", "text/plain"), b"body"),
            request_fingerprint(&head("POST", "/a?b=1", "text/html"), b"body"),
            request_fingerprint(&head("POST", "/a?b=1", "text/plainb"), b"ody"),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(all[at + 1..].iter().all(|other| other != one), "{at}");
        }
        assert_eq!(all[0], request_fingerprint(&head("POST", "/a?b=1", "text/plain"), b"body"));
    }

    #[test]
    fn store_key_has_constant_length_and_separates_scopes() {
        let (ada, grace) = (Principal::new("ada"), Principal::new("grace"));
        let of_acme = ada.clone().with_tenants(["acme"]).in_tenant("acme").unwrap();
        let elsewhere = ada.clone().issued_by("https://other.example");
        let post = head("POST", "/a", "");
        let keys = [
            store_key(&Scope::Principal(&ada), &post, "k"),
            store_key(&Scope::Principal(&grace), &post, "k"),
            store_key(&Scope::Principal(&of_acme), &post, "k"),
            store_key(&Scope::Principal(&elsewhere), &post, "k"),
            store_key(&Scope::Custom("ada".into()), &post, "k"),
            store_key(&Scope::Principal(&ada), &post, "l"),
            store_key(&Scope::Principal(&ada), &head("POST", "/b", ""), "k"),
            store_key(&Scope::Principal(&ada), &head("PATCH", "/a", ""), "k"),
        ];
        for (at, one) in keys.iter().enumerate() {
            assert!(keys[at + 1..].iter().all(|other| other != one), "{at}");
            assert_eq!(one.len(), 12 + 64);
        }
    }
}
