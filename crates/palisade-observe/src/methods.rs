use std::{
    collections::BTreeSet,
    sync::{PoisonError, RwLock},
};

/// The maximum number of stored methods. A service behind a proxy could report any number of them.
const MOST: usize = 1024;

/// The gRPC methods that have succeeded at least once. The path of an existing method, `/package.Service/Method`, is a route
/// template. Invented paths must not become labels, so a path is used only after a response with the status `OK`, which
/// rejections and routers do not send. After that, failures and rejections of the method have its label too.
#[derive(Debug, Default)]
pub(crate) struct GrpcMethods(RwLock<BTreeSet<Box<str>>>);

impl GrpcMethods {
    /// The template of a request to this path, which was answered with this status of gRPC, or none.
    pub(crate) fn template(&self, path: &str, grpc_status: Option<&str>) -> Option<Box<str>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(path) {
            return Some(known.clone());
        }
        let is_full = known.len() >= MOST;
        drop(known);
        if grpc_status != Some("0") || is_full || !is_method(path) {
            return None;
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(path.into());
        Some(path.into())
    }
}

/// `/package.Service/Method`.
fn is_method(path: &str) -> bool {
    let is_name = |name: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
        !name.is_empty() && name.bytes().all(allowed)
    };
    let parts = path.strip_prefix('/').and_then(|path| path.split_once('/'));
    path.len() <= 256 && parts.is_some_and(|(service, method)| is_name(service) && is_name(method))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn method_is_known_after_its_first_success() {
        let methods = GrpcMethods::default();
        let hello = "/greeter.v1.Greeter/Hello";
        for status in [None, Some("12"), Some("16"), Some("")] {
            assert_eq!(methods.template(hello, status), None);
        }
        for status in [Some("0"), Some("16"), None] {
            assert_eq!(methods.template(hello, status).as_deref(), Some(hello));
        }
        for path in ["/", "/Hello", "//Hello", "/a/", "/a/b/c", "/a/b%20c", "a/b", "/a/\u{e9}"] {
            assert_eq!(methods.template(path, Some("0")), None, "{path}");
        }
        assert_eq!(methods.template(&format!("/a/{}", "b".repeat(300)), Some("0")), None);
    }

    #[test]
    fn number_of_known_methods_is_bounded() {
        let methods = GrpcMethods::default();
        for at in 0..MOST {
            assert!(methods.template(&format!("/a/{at}"), Some("0")).is_some());
        }
        assert_eq!(methods.template("/a/more", Some("0")), None);
        assert!(methods.template("/a/7", None).is_some());
    }
}
