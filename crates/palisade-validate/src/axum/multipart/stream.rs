use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::extract::Request;
use bytes::Bytes;
use futures_core::Stream;
use garde::Validate;
use palisade_core::ApiError;
use serde::de::DeserializeOwned;

use super::{
    file_rules::About,
    layer::Breach,
    parts::{Next, Parts},
};
use crate::{
    RuleContext, Validation,
    axum::{Extractor, FromBody, HasRules},
    place::Findings,
    texts::Texts,
};

/// A multipart form whose files are streamed to the handler, without a copy in memory or on disk.
///
/// The limits, names and types of [`Uploads`](crate::Uploads) apply as for [`Multipart`](crate::Multipart). The first bytes
/// of a file are held back until they show its type, so that the handler sees no byte of a rejected file. The texts between
/// the files are collected, and become a value of the type at the end:
///
/// ```
/// use axum::{Router, routing::post};
/// use garde::Validate;
/// use palisade_core::ApiError;
/// use palisade_validate::{MultipartStream, Uploads, Valid};
/// use serde::Deserialize;
///
/// #[derive(Deserialize, Validate)]
/// struct Caption {
///     #[garde(length(chars, max = 80))]
///     caption: String,
/// }
///
/// async fn save(Valid(mut form): Valid<MultipartStream<Caption>>) -> Result<String, ApiError> {
///     let mut bytes = 0;
///     while let Some(mut file) = form.next_file().await? {
///         while let Some(chunk) = file.chunk().await? {
///             bytes += chunk.len(); // to the storage, under a temporary name
///         }
///     }
///     // Only now the whole form is known to be valid.
///     let fields = form.finish().await?;
///     Ok(format!("{}: {bytes} bytes", fields.caption))
/// }
///
/// let uploads = Uploads::builder().max_body_bytes(5 << 30).max_file_bytes(4 << 30).build()?;
/// let app: Router = Router::new().route("/films", post(save).layer(uploads.layer()));
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
///
/// A rejected file or an exceeded limit is an error of the call that finds it, and of each later call: the status of
/// [`Validation`] with its issues, 413, 415, or 400 for a body that is not a form. If the layer of `Uploads` is outside, the
/// error is also the response, even if the handler ignores it. Parts that the handler does not read are not checked: always
/// call [`finish`](MultipartStream::finish).
///
/// A future that is dropped before it is ready loses a part of the form. The next call then returns an error, so that the
/// form never looks complete.
pub struct MultipartStream<T> {
    parts: Parts,
    findings: Findings,
    settings: Validation,
    breach: Breach,
    finish: Box<Finish<T>>,
}

/// Reads the texts, with the context that the request came with.
type Finish<T> = dyn FnOnce(Texts, &mut Findings) -> Option<T> + Send + Sync;

impl<T> MultipartStream<T> {
    /// Returns the next file, in the order of the form. The rest of the previous file is skipped, within the same limits.
    ///
    /// # Errors
    ///
    /// The file is rejected, a limit is exceeded, or the body is not a form or ended early.
    pub async fn next_file(&mut self) -> Result<Option<UploadStream<'_>>, ApiError> {
        if let Some(error) = self.breach.get() {
            return Err(error.clone());
        }
        match self.parts.next(&mut self.findings).await {
            Ok(Next::End) => Ok(None),
            Ok(Next::File(about)) => {
                Ok(Some(UploadStream { about, parts: &mut self.parts, breach: &self.breach }))
            }
            Ok(Next::Refused) => {
                let findings = std::mem::take(&mut self.findings);
                Err(self.breach.of_error(self.settings.refuse(findings)))
            }
            Err(error) => Err(self.breach.of_error(error)),
        }
    }

    /// Returns the fields without files. Files that were not read are skipped, within the same limits.
    ///
    /// # Errors
    ///
    /// As of [`next_file`](MultipartStream::next_file), or the fields break their rules, or a file is missing.
    pub async fn finish(mut self) -> Result<T, ApiError> {
        while self.next_file().await?.is_some() {}
        let texts = self.parts.into_texts(&mut self.findings);
        let value = (self.finish)(texts, &mut self.findings);
        self.settings.settle(value, self.findings).map_err(|error| self.breach.of_error(error))
    }
}

impl<T: DeserializeOwned + HasRules> Extractor for MultipartStream<T> {}

impl<T> FromBody for MultipartStream<T>
where
    T: DeserializeOwned + Validate,
    T::Context: Send + Sync + 'static,
{
    async fn read(
        request: Request,
        settings: &Validation,
        _: &mut Findings,
    ) -> Result<Option<Self>, ApiError> {
        let context = RuleContext::<T::Context>::from_extensions(request.extensions())?;
        let breach = Breach::from_extensions(request.extensions());
        let settings = settings.clone();
        let texts_settings = settings.clone();
        let finish = move |texts: Texts, findings: &mut Findings| {
            texts_settings.texts(texts, &*context, findings)
        };
        Ok(Some(Self {
            parts: Parts::from_request(request)?,
            findings: Findings::default(),
            settings,
            breach,
            finish: Box::new(finish),
        }))
    }
}

impl<T> fmt::Debug for MultipartStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MultipartStream").finish_non_exhaustive()
    }
}

/// A file that is being sent: a `Stream` of its bytes. Made by [`MultipartStream::next_file`].
///
/// `tokio_util::io::StreamReader` makes a reader of it, with errors converted to `std::io::Error`.
pub struct UploadStream<'f> {
    about: About,
    parts: &'f mut Parts,
    breach: &'f Breach,
}

impl UploadStream<'_> {
    /// Returns the name of its field.
    pub fn field(&self) -> &str {
        &self.about.field
    }

    /// Returns the file name that the client sent. It has no directories; still, do not store the file under it.
    pub fn name(&self) -> Option<&str> {
        self.about.name.as_deref()
    }

    /// Returns its media type, by its first bytes. If they show no type, the one that the client sent.
    pub fn content_type(&self) -> &str {
        &self.about.content_type
    }

    /// Returns the next bytes, or `None` at the end of the file.
    ///
    /// # Errors
    ///
    /// The file exceeds its limit, or the body ended early.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ApiError> {
        if let Some(error) = self.breach.get() {
            return Err(error.clone());
        }
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await.transpose()
    }
}

impl Stream for UploadStream<'_> {
    type Item = Result<Bytes, ApiError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // The stream ends with its error: a reader that ignores errors would otherwise never stop.
        let chunk = ready!(self.parts.poll_chunk(cx));
        Poll::Ready(chunk.map(|chunk| chunk.map_err(|error| self.breach.of_error(error))))
    }
}

impl fmt::Debug for UploadStream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The name is what a client chose.
        f.debug_struct("UploadStream")
            .field("field", &self.about.field)
            .field("content_type", &self.about.content_type)
            .finish_non_exhaustive()
    }
}
