use axum::extract::{FromRequestParts, Path, RawPathParams};
use garde::Validate;
use http::request;
use palisade_core::{ApiError, IssueSource};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::head::OfTexts;
use crate::{
    examine::{Shape, asked_for},
    texts::{Naming, Texts},
};

impl<T> OfTexts for Path<T>
where
    T: DeserializeOwned + Validate,
    T::Context: Send + Sync + 'static,
{
    type Value = T;
    type Context = T::Context;

    async fn texts(head: &mut request::Parts) -> Result<Texts, ApiError> {
        let params = RawPathParams::from_request_parts(head, &()).await.map_err(|error| {
            ApiError::bad_request().with_message("the path is not UTF-8").with_source(error)
        })?;
        let params: Vec<(&str, &str)> = params.iter().collect();
        let (value, naming) = laid_out(&params, asked_for::<T>())
            .map_err(|remedy| ApiError::report_misconfiguration(&head.extensions, remedy))?;
        Ok(Texts { value, ..Texts::named(IssueSource::Path, naming) })
    }

    fn from_value(value: T) -> Self {
        Self(value)
    }
}

/// Returns the parameters as the type asks for them: by name, by position, or the only one.
///
/// # Errors
///
/// The route has another number of parameters. No request can make that right.
fn laid_out(params: &[(&str, &str)], asked_for: Option<Shape>) -> Result<(Value, Naming), String> {
    let takes = |count: usize| {
        if params.len() == count {
            return Ok(());
        }
        Err(format!(
            "the path of the route has {} parameters, and the handler extracts {count}: make both the same",
            params.len()
        ))
    };
    Ok(match asked_for {
        Some(Shape::List(length)) => {
            takes(length.unwrap_or(params.len()))?;
            let texts = params.iter().map(|(_, text)| Value::from(*text)).collect();
            let names = params.iter().map(|(name, _)| (*name).to_owned()).collect();
            (texts, Naming::Positions(names))
        }
        Some(Shape::Single | Shape::Enum) => {
            takes(1)?;
            let (name, text) = params[0];
            (text.into(), Naming::Only(name.to_owned()))
        }
        Some(Shape::Struct(_)) | None => {
            // A route never has two parameters of one name.
            let pairs = params.iter().map(|(name, text)| ((*name).to_owned(), (*text).into()));
            (Value::Object(pairs.collect()), Naming::AsIs)
        }
    })
}
