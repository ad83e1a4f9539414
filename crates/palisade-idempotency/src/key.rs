use std::sync::Arc;

use bytes::Bytes;
use http::{Extensions, HeaderName, Response};

use crate::record::{Record, StoredResponse};

/// The idempotency key of a request that is processed, in the request's extensions.
///
/// With the feature `axum` it is an extractor; `Option<IdempotencyKey>` where the key is optional.
///
/// A crash after the handler has changed a database and before its response is stored makes the next attempt run again. A
/// handler that must have its effect exactly once writes the record of its response in the transaction of the effect, into
/// the table that a [`ClaimStore`](crate::ClaimStore) of your own reads: with [`complete_in`](Self::complete_in), or with
/// [`record`](Self::record) for a library without `async`.
#[derive(Clone, Debug)]
pub struct IdempotencyKey {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    text: String,
    store_key: String,
    token: String,
    fingerprint: [u8; 32],
    headers: Option<Arc<[HeaderName]>>,
}

impl IdempotencyKey {
    pub(crate) fn new(
        text: String,
        store_key: String,
        token: &str,
        fingerprint: [u8; 32],
        headers: Option<Arc<[HeaderName]>>,
    ) -> Self {
        let token = token.to_owned();
        Self { inner: Arc::new(Inner { text, store_key, token, fingerprint, headers }) }
    }

    /// Returns the key of a request, or `None` without a key or without an [`Idempotency`](crate::Idempotency) layer.
    pub fn from_extensions(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// Returns the key as the client sent it, without quotes. It is unique for one caller and route only.
    pub fn as_str(&self) -> &str {
        &self.inner.text
    }

    /// Returns the key in the [`ClaimStore`](crate::ClaimStore): 76 ASCII characters, unique for caller, method, route and key.
    pub fn store_key(&self) -> &str {
        &self.inner.store_key
    }

    /// Returns the [fencing token](crate::Reservation::token) of the claim. A transaction that finds another token in the
    /// store must be rolled back: the lease has expired, and another process has the claim.
    pub fn token(&self) -> &str {
        &self.inner.token
    }

    /// Encodes a response as the record that retries get.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::Response;
    /// use palisade_idempotency::IdempotencyKey;
    ///
    /// fn pay(database: &mut Vec<(String, Bytes)>, key: &IdempotencyKey) -> Response<Bytes> {
    ///     let response = Response::new(Bytes::from("paid"));
    ///     // in the transaction of the payment, where store key and token are those of the claim
    ///     database.push((key.store_key().to_owned(), key.record(&response)));
    ///     response
    /// }
    /// ```
    pub fn record(&self, response: &Response<Bytes>) -> Bytes {
        let mut head = Response::new(());
        *head.status_mut() = response.status();
        head.headers_mut().clone_from(response.headers());
        let response = StoredResponse { head, body: response.body().clone(), trailers: None };
        Record { fingerprint: self.inner.fingerprint, response: Some(response) }
            .encode(self.inner.headers.as_deref())
    }

    /// Stores the record of a response in a transaction of the handler.
    ///
    /// # Errors
    ///
    /// Those of the transaction. Roll it back then.
    pub async fn complete_in<T: RecordTransaction>(
        &self,
        transaction: &mut T,
        response: &Response<Bytes>,
    ) -> Result<(), T::Error> {
        let record = self.record(response);
        transaction.store_record(self.store_key(), self.token(), &record).await
    }
}

/// A database transaction that can store the record of an idempotency key.
///
/// ```
/// use palisade_idempotency::RecordTransaction;
///
/// /// Stands for a transaction of a database.
/// struct Transaction { statements: Vec<String> }
///
/// impl RecordTransaction for Transaction {
///     type Error = std::io::Error;
///
///     async fn store_record(&mut self, key: &str, token: &str, _record: &[u8]) -> Result<(), Self::Error> {
///         // no row: the lease has expired, so return an error
///         self.statements.push(format!("UPDATE claims SET record = $1 WHERE key = '{key}' AND token = '{token}'"));
///         Ok(())
///     }
/// }
/// ```
#[allow(
    async_fn_in_trait,
    reason = "callers name the type, so the compiler sees whether its future is Send"
)]
pub trait RecordTransaction {
    /// The error of the database.
    type Error;

    /// Stores the record of the claim with this key and token.
    ///
    /// # Errors
    ///
    /// If the claim has another token by now, or the database fails.
    async fn store_record(
        &mut self,
        key: &str,
        token: &str,
        record: &[u8],
    ) -> Result<(), Self::Error>;
}
