use std::{fmt, marker::PhantomData, sync::Arc};

use http::HeaderValue;
use palisade_core::Principal;

use super::{Denial, Predicate, Rule, Verdict, needs::Needs};

/// Holds for callers whose token has the scope, or all of several scopes that are separated by spaces. An empty list holds for
/// no caller.
///
/// A caller without it gets `WWW-Authenticate: Bearer error="insufficient_scope", scope="…"` (RFC 6750, section 3.1).
///
/// ```
/// use palisade_auth::{Identity, rules::scope};
/// use palisade_core::Principal;
///
/// let ada = Identity::new((), Principal::new("ada").with_scopes(["orders:read"]));
/// let error = ada.require(&scope("orders:read orders:write"), "any resource").unwrap_err();
/// assert_eq!(
///     error.headers()["www-authenticate"],
///     r#"Bearer error="insufficient_scope", scope="orders:read orders:write""#,
/// );
/// ```
pub fn scope<T: ?Sized>(scope: impl AsRef<str>) -> HasScopes<T> {
    let scopes: Vec<Box<str>> = scope.as_ref().split_ascii_whitespace().map(Into::into).collect();
    HasScopes {
        challenge: challenge(&scopes),
        lacking: format!("not scope {}", scopes.join(" ")).into(),
        scopes: Arc::new(Needs::new(scopes.into_iter().map(|scope| vec![scope]))),
        about: PhantomData,
    }
}

/// See [`scope`].
pub struct HasScopes<T: ?Sized> {
    /// All of these: each is a list of its own.
    scopes: Arc<Needs>,
    challenge: HeaderValue,
    lacking: Arc<str>,
    about: PhantomData<fn(&T)>,
}

fn challenge(scopes: &[Box<str>]) -> HeaderValue {
    // A scope that is not a scope-token (RFC 6749, section 3.3) is not sent, because clients do not decode escapes.
    let is_token_char = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
    let are_tokens = scopes.iter().all(|scope| scope.bytes().all(is_token_char));
    let value = format!("Bearer error=\"insufficient_scope\", scope=\"{}\"", scopes.join(" "));
    match HeaderValue::try_from(value) {
        Ok(value) if are_tokens && !scopes.is_empty() => value,
        _ => HeaderValue::from_static("Bearer error=\"insufficient_scope\""),
    }
}

impl<T: ?Sized + 'static> Rule for HasScopes<T> {
    type About = T;

    fn decide(&self, caller: &Principal, _: &T) -> Verdict {
        let holds = self.scopes.are_met_by(|| caller.scopes());
        Verdict::holds_if(holds, || {
            Denial::new(Arc::clone(&self.lacking)).with_challenge(self.challenge.clone())
        })
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "scope {}", self.scopes.lists().concat().join(" "))
    }
}

impl<T: ?Sized + 'static> Predicate for HasScopes<T> {}

impl<T: ?Sized> Clone for HasScopes<T> {
    fn clone(&self) -> Self {
        Self {
            scopes: Arc::clone(&self.scopes),
            challenge: self.challenge.clone(),
            lacking: Arc::clone(&self.lacking),
            about: PhantomData,
        }
    }
}

impl<T: ?Sized> fmt::Debug for HasScopes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "scope {}", self.scopes.lists().concat().join(" "))
    }
}
