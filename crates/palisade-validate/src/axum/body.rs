use std::future::Future;

use axum::{
    Form, Json,
    extract::{FromRequest, Request},
};
use bytes::Bytes;
use garde::Validate;
use http::{Method, StatusCode};
use palisade_core::{ApiError, IssueSource};
use serde::de::DeserializeOwned;

use super::FromHead;
use crate::{RuleContext, Validation, json, place::Findings, text};

/// What [`Valid`](crate::Valid) reads from a whole request: `Json`, `Form`, and tuples that end with one of them.
///
/// It cannot be implemented elsewhere.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be validated",
    note = "`Valid` takes `Path`, `Query`, `Headers`, `Json`, `Form`, or a tuple of them with the body last",
    note = "their type must implement `serde::Deserialize` and `garde::Validate`, and its context `Default`"
)]
pub trait FromBody<S>: Sized {
    /// `Ok(None)`: what is wrong was added.
    #[doc(hidden)]
    fn read(
        request: Request,
        state: &S,
        settings: Validation,
        findings: &mut Findings,
    ) -> impl Future<Output = Result<Option<Self>, ApiError>> + Send;
}

async fn bytes_of<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    Bytes::from_request(request, state).await.map_err(|rejection| {
        // axum's own limit, or the stack's: both end as the same status here.
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            ApiError::payload_too_large()
        } else {
            ApiError::bad_request().with_message("the request body could not be read")
        }
        .with_source(rejection)
    })
}

impl<S, T> FromBody<S> for Json<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Validate,
    T::Context: Default + Send + Sync + 'static,
{
    async fn read(
        request: Request,
        state: &S,
        settings: Validation,
        findings: &mut Findings,
    ) -> Result<Option<Self>, ApiError> {
        json::check_media_type(request.headers())?;
        let context = RuleContext::<T::Context>::of(request.extensions());
        let body = bytes_of(request, state).await?;
        Ok(json::read(&body, settings, &*context, findings)?.map(Self))
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

impl<S, T> FromBody<S> for Form<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Validate,
    T::Context: Default + Send + Sync + 'static,
{
    async fn read(
        request: Request,
        state: &S,
        settings: Validation,
        findings: &mut Findings,
    ) -> Result<Option<Self>, ApiError> {
        let context = RuleContext::<T::Context>::of(request.extensions());
        // A form that is sent with GET is in the query, as for axum's own extractor.
        let form = if matches!(*request.method(), Method::GET | Method::HEAD) {
            Bytes::copy_from_slice(request.uri().query().unwrap_or_default().as_bytes())
        } else {
            json::check(request.headers(), FORM, |field| {
                json::is_utf8_of(field, |essence| essence == FORM)
            })?;
            bytes_of(request, state).await?
        };
        let pairs = text::pairs(&form)?;
        let value = settings.texts(pairs, form.len(), IssueSource::Form, &*context, findings);
        Ok(value.map(Self))
    }
}

macro_rules! tuples {
    ($(($($part:ident $value:ident),+);)*) => {$(
        impl<S, $($part,)+ Z> FromBody<S> for ($($part,)+ Z)
        where
            S: Send + Sync,
            $($part: FromHead<S> + Send,)+
            Z: FromBody<S> + Send,
        {
            async fn read(
                request: Request,
                state: &S,
                settings: Validation,
                findings: &mut Findings,
            ) -> Result<Option<Self>, ApiError> {
                let (mut head, body) = request.into_parts();
                $(let $value = $part::read(&mut head, state, settings, findings).await?;)+
                let body = Z::read(Request::from_parts(head, body), state, settings, findings).await?;
                Ok(match ($($value,)+ body) {
                    ($(Some($value),)+ Some(body)) => Some(($($value,)+ body)),
                    _ => None,
                })
            }
        }
    )*};
}

tuples! {
    (A a);
    (A a, B b);
    (A a, B b, C c);
}
