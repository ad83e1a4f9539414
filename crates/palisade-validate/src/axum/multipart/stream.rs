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
use crate::{RuleContext, Validation, axum::FromBody, place::Findings, texts::Texts};

/// A multipart form whose files are streamed to the handler: none is kept, in memory or on disk.
///
/// The caps, names and types of [`Uploads`](crate::Uploads) hold as for [`Multipart`](crate::Multipart). The first bytes
/// of a file are held back until they tell what it is, so that no byte arrives of a file that may not come. The texts
/// between the files are collected, and become a value of the type at the end:
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
///             bytes += chunk.len(); // to where it is kept, under a name that nobody finds yet
///         }
///     }
///     // Only now is everything known to be right.
///     let fields = form.finish().await?;
///     Ok(format!("{}: {bytes} bytes", fields.caption))
/// }
///
/// let uploads = Uploads::builder().max_body_bytes(5 << 30).max_file_bytes(4 << 30).build()?;
/// let app: Router = Router::new().route("/films", post(save).layer(uploads.layer()));
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
///
/// What is wrong with a file, or over a cap, is an error of the call that finds it, and of every later one: the status
/// that [`Validation`] says with its issues, 413, 415, or 400 for what is no form. If `Uploads` is outside as a layer, it
/// is also the answer, whatever the handler makes of the error. What a handler does not read, as it does where it never
/// calls [`finish`](MultipartStream::finish), is not checked.
///
/// The future of a call that was dropped before it was ready has taken a part of the form with it. The next call is an
/// error then, and not a form that looks whole.
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
    /// The next file, in the order in which they come. What was not read of the last one is skipped, under the same caps.
    ///
    /// # Errors
    ///
    /// The file may not come, something is over its cap, or the body is no form or broke off.
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

    /// The fields that are no files. What was not read is skipped, under the same caps.
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
        let context = RuleContext::<T::Context>::of(request.extensions())?;
        let breach = Breach::of(request.extensions());
        let settings = settings.clone();
        let texts_settings = settings.clone();
        let finish = move |texts: Texts, findings: &mut Findings| {
            texts_settings.texts(texts, &*context, findings)
        };
        Ok(Some(Self {
            parts: Parts::of(request)?,
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
/// What takes a reader takes it through `tokio_util::io::StreamReader`, with errors made into `std::io::Error`.
pub struct UploadStream<'f> {
    about: About,
    parts: &'f mut Parts,
    breach: &'f Breach,
}

impl UploadStream<'_> {
    /// The field that it comes in.
    pub fn field(&self) -> &str {
        &self.about.field
    }

    /// What the client calls it. It has no directories in it, and is still no name to store it under.
    pub fn name(&self) -> Option<&str> {
        self.about.name.as_deref()
    }

    /// Its media type: what its first bytes say, and only if they say nothing what the client says.
    pub fn content_type(&self) -> &str {
        &self.about.content_type
    }

    /// The next bytes. `None`: that was all.
    ///
    /// # Errors
    ///
    /// It is over its cap, or the body broke off.
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
        // It ends with its error: who passes over errors would go on for ever.
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
