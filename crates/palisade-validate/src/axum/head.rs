use std::future::Future;

use axum::extract::Query;
use garde::Validate;
use http::request;
use palisade_core::{ApiError, IssueSource};
use serde::de::DeserializeOwned;

use super::Extractor;
use crate::{RuleContext, Validation, place::Findings, texts::Texts};

/// An extractor that [`Valid`](crate::Valid) reads from the head of a request: `Path`, `Query`, [`Headers`](crate::Headers),
/// [`Cookies`](crate::Cookies), and tuples of them.
///
/// It cannot be implemented elsewhere.
pub trait FromHead: Extractor + Sized {
    /// Returns `Ok(None)` if issues were added to the findings.
    #[doc(hidden)]
    fn read(
        head: &mut request::Parts,
        settings: &Validation,
        findings: &mut Findings,
    ) -> impl Future<Output = Result<Option<Self>, ApiError>> + Send;
}

/// A part of the head, which consists of names and texts.
pub trait OfTexts: Extractor + Sized {
    /// The type that the texts become.
    type Value: DeserializeOwned + Validate<Context = Self::Context>;

    /// The context of its rules.
    type Context: Send + Sync + 'static;

    /// Returns the texts that the type asks for.
    #[doc(hidden)]
    fn texts(head: &mut request::Parts) -> impl Future<Output = Result<Texts, ApiError>> + Send;

    #[doc(hidden)]
    fn from_value(value: Self::Value) -> Self;
}

impl<E: OfTexts> FromHead for E {
    async fn read(
        head: &mut request::Parts,
        settings: &Validation,
        findings: &mut Findings,
    ) -> Result<Option<Self>, ApiError> {
        let texts = E::texts(head).await?;
        let context = RuleContext::<E::Context>::from_extensions(&head.extensions)?;
        Ok(settings.texts(texts, &*context, findings).map(E::from_value))
    }
}

impl<T> OfTexts for Query<T>
where
    T: DeserializeOwned + Validate,
    T::Context: Send + Sync + 'static,
{
    type Value = T;
    type Context = T::Context;

    async fn texts(head: &mut request::Parts) -> Result<Texts, ApiError> {
        let query = head.uri.query().unwrap_or_default();
        Texts::urlencoded(query.as_bytes(), IssueSource::Query)
    }

    fn from_value(value: T) -> Self {
        Self(value)
    }
}
