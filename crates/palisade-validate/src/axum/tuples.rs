//! Several parts of a request, whose issues are reported together: parts of the head alone, or with a body after them.

use axum::extract::Request;
use http::request;
use palisade_core::ApiError;

use super::{FromBody, FromHead};
use crate::{Validation, place::Findings};

macro_rules! tuples {
    ($(($($part:ident $value:ident),+);)*) => {$(
        impl<$($part),+> FromHead for ($($part,)+)
        where
            $($part: FromHead + Send,)+
        {
            async fn read(
                head: &mut request::Parts,
                settings: &Validation,
                findings: &mut Findings,
            ) -> Result<Option<Self>, ApiError> {
                $(let $value = $part::read(head, settings, findings).await?;)+
                Ok(match ($($value,)+) {
                    ($(Some($value),)+) => Some(($($value,)+)),
                    _ => None,
                })
            }
        }

        impl<$($part,)+ Z> FromBody for ($($part,)+ Z)
        where
            $($part: FromHead + Send,)+
            Z: FromBody + Send,
        {
            async fn read(
                request: Request,
                settings: &Validation,
                findings: &mut Findings,
            ) -> Result<Option<Self>, ApiError> {
                let (mut head, body) = request.into_parts();
                let front = <($($part,)+)>::read(&mut head, settings, findings).await?;
                let body = Z::read(Request::from_parts(head, body), settings, findings).await?;
                Ok(match (front, body) {
                    (Some(($($value,)+)), Some(body)) => Some(($($value,)+ body)),
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
    (A a, B b, C c, D d);
}
