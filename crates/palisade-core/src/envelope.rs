use bytes::Bytes;
use http::{HeaderValue, Response, header};
use serde::Serialize;

use crate::ApiError;

/// A successful response in an envelope: `{"data": …}`, beside the `{"error": …}` of
/// [`ErrorFormat::Envelope`](crate::ErrorFormat::Envelope).
///
/// Each response has either `error` or `data`. A list has its [`Pagination`] beside `data`.
///
/// With the feature `axum` handlers return it, alone or as `(StatusCode::CREATED, Envelope::new(item))`. For other services
/// [`to_response`](Self::to_response) makes the response. With the feature `aide` it describes itself in OpenAPI documents.
///
/// ```
/// use palisade_core::{Envelope, Pagination};
///
/// let page = Envelope::new(["lamp", "chair"]).with_pagination(Pagination::pages(2, 20, 134));
/// let response = page.to_response()?;
/// assert_eq!(response.headers()["content-type"], "application/json");
/// assert_eq!(
///     response.body(),
///     r#"{"data":["lamp","chair"],"pagination":{"page":2,"limit":20,"total":134,"totalPages":7}}"#
/// );
/// # Ok::<_, palisade_core::ApiError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "aide", derive(schemars::JsonSchema))]
#[must_use = "an envelope does nothing until it is returned by a handler"]
pub struct Envelope<T> {
    data: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    pagination: Option<Pagination>,
}

/// The position of a list in the whole collection, for [`Envelope::with_pagination`].
///
/// The names are those that clients of JavaScript frameworks expect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "aide", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Pagination(Position);

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "aide", derive(schemars::JsonSchema))]
#[serde(untagged, rename_all_fields = "camelCase")]
enum Position {
    Page { page: u64, limit: u64, total: u64, total_pages: u64 },
    Cursor { limit: u64, next_cursor: Option<String>, has_more: bool },
}

impl Pagination {
    /// Returns the position of a numbered page: `{"page", "limit", "total", "totalPages"}`. Pages count from 1; `limit` is the
    /// number of items on a full page, and `total` that of the whole collection.
    ///
    /// ```
    /// # use palisade_core::Pagination;
    /// assert_eq!(Pagination::pages(1, 20, 0).total_pages(), Some(0));
    /// assert_eq!(Pagination::pages(1, 20, 21).total_pages(), Some(2));
    /// ```
    pub fn pages(page: u64, limit: u64, total: u64) -> Self {
        // A limit of 0 shows nothing of any collection.
        let total_pages = total
            .checked_div(limit)
            .map_or(0, |full| full + u64::from(!total.is_multiple_of(limit)));
        Self(Position::Page { page, limit, total, total_pages })
    }

    /// Returns the position before `next`, the cursor of the following items: `{"limit", "nextCursor", "hasMore"}`. `None` is
    /// the end of the collection.
    ///
    /// ```
    /// # use palisade_core::Pagination;
    /// let last = serde_json::to_string(&Pagination::cursor(20, None))?;
    /// assert_eq!(last, r#"{"limit":20,"nextCursor":null,"hasMore":false}"#);
    /// # Ok::<_, serde_json::Error>(())
    /// ```
    pub fn cursor(limit: u64, next: Option<String>) -> Self {
        Self(Position::Cursor { limit, has_more: next.is_some(), next_cursor: next })
    }

    /// Returns the number of pages, or `None` with cursors.
    pub fn total_pages(&self) -> Option<u64> {
        match self.0 {
            Position::Page { total_pages, .. } => Some(total_pages),
            Position::Cursor { .. } => None,
        }
    }
}

impl<T> Envelope<T> {
    /// Creates an envelope around the value of `data`.
    pub fn new(data: T) -> Self {
        Self { data, pagination: None }
    }

    /// Adds the position of a list, as `pagination`.
    pub fn with_pagination(mut self, pagination: Pagination) -> Self {
        self.pagination = Some(pagination);
        self
    }

    /// Returns the response: status 200, as `application/json`.
    ///
    /// # Errors
    ///
    /// 500, with the reason as its source, if the value cannot be serialized: a map whose keys are not texts, for example.
    pub fn to_response(&self) -> Result<Response<Bytes>, ApiError>
    where
        T: Serialize,
    {
        let body =
            serde_json::to_vec(self).map_err(|error| ApiError::internal().with_source(error))?;
        let mut response = Response::new(body.into());
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        Ok(response)
    }
}

#[cfg(feature = "axum")]
impl<T: Serialize> axum::response::IntoResponse for Envelope<T> {
    fn into_response(self) -> axum::response::Response {
        let response = self.to_response().map(|response| response.map(axum::body::Body::from));
        response.into_response()
    }
}

#[cfg(feature = "aide")]
impl<T: Serialize + schemars::JsonSchema> aide::OperationOutput for Envelope<T> {
    type Inner = Self;

    fn operation_response(
        context: &mut aide::generate::GenContext,
        operation: &mut aide::openapi::Operation,
    ) -> Option<aide::openapi::Response> {
        axum::Json::<Self>::operation_response(context, operation)
    }

    fn inferred_responses(
        context: &mut aide::generate::GenContext,
        operation: &mut aide::openapi::Operation,
    ) -> Vec<(Option<aide::openapi::StatusCode>, aide::openapi::Response)> {
        axum::Json::<Self>::inferred_responses(context, operation)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::json;

    use super::*;

    fn body(envelope: &Envelope<impl Serialize>) -> serde_json::Value {
        serde_json::from_slice(envelope.to_response().unwrap().body()).unwrap()
    }

    #[test]
    fn envelope_has_pagination_only_with_a_list() {
        assert_eq!(body(&Envelope::new(json!({"id": 7}))), json!({"data": {"id": 7}}));
        assert_eq!(body(&Envelope::new(())), json!({"data": null}));
        let next = Pagination::cursor(2, Some("b".to_owned()));
        assert_eq!(
            body(&Envelope::new([1, 2]).with_pagination(next)),
            json!({"data": [1, 2], "pagination": {"limit": 2, "nextCursor": "b", "hasMore": true}})
        );
    }

    #[test]
    fn pages_are_rounded_up() {
        for (limit, total, pages) in
            [(20, 0, 0), (20, 1, 1), (20, 20, 1), (20, 21, 2), (0, 5, 0), (1, u64::MAX, u64::MAX)]
        {
            assert_eq!(Pagination::pages(1, limit, total).total_pages(), Some(pages));
        }
        assert_eq!(Pagination::cursor(20, None).total_pages(), None);
    }

    #[test]
    fn value_without_json_form_is_an_internal_error() {
        let keys = HashMap::from([((1, 2), 3)]);
        let error = Envelope::new(keys).to_response().unwrap_err();
        assert_eq!((error.status().as_u16(), error.code()), (500, "INTERNAL"));
    }

    #[cfg(feature = "axum")]
    #[test]
    fn handlers_set_status_and_headers_next_to_the_envelope() {
        use axum::response::IntoResponse;
        use http::StatusCode;

        let response =
            (StatusCode::CREATED, [("location", "/7")], Envelope::new(7)).into_response();
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.headers()["location"], "/7");
    }

    #[cfg(feature = "aide")]
    #[test]
    fn envelope_describes_its_data_and_pagination() {
        use aide::OperationOutput;

        let response = aide::generate::in_context(|context| {
            Envelope::<Vec<u32>>::operation_response(context, &mut Default::default())
        });
        let content = serde_json::to_value(response).unwrap()["content"].to_string();
        assert!(content.contains("application/json") && content.contains("schema"), "{content}");
        let schema = schemars::schema_for!(Envelope<Vec<u32>>).to_value();
        assert_eq!(schema["properties"]["data"]["items"]["type"], "integer");
        assert_eq!(schema["required"], json!(["data"]));
    }
}
