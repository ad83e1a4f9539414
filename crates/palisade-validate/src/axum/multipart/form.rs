use std::{
    fmt,
    io::{self, Read, Seek, Write},
};

use axum::extract::Request;
use bytes::Bytes;
use garde::Validate;
use palisade_core::ApiError;
use serde::de::DeserializeOwned;
use tempfile::SpooledTempFile;

use super::parts::{Next, Parts};
use crate::{
    RuleContext, Validation,
    axum::{Extractor, FromBody, HasRules},
    place::Findings,
};

/// A multipart form: its fields as a value of a type, and its files.
///
/// [`Uploads`](crate::Uploads) outside limits their number, sizes and types. A file of up to 64 KiB is stored in memory, and
/// a larger one in a temporary file without a name, which is deleted on drop. The fields of the type are those without
/// files; their texts become numbers and other types as in a query string.
///
/// ```
/// use axum::{Router, routing::post};
/// use garde::Validate;
/// use palisade_validate::{Multipart, Uploads, Valid};
/// use serde::Deserialize;
///
/// #[derive(Deserialize, Validate)]
/// struct Profile {
///     #[garde(length(chars, min = 1))]
///     name: String,
/// }
///
/// async fn save(Valid(form): Valid<Multipart<Profile>>) -> String {
///     let size = form.file("avatar").map_or(0, |file| file.size());
///     format!("{} has a picture of {size} bytes", form.fields.name)
/// }
///
/// let uploads = Uploads::builder().allow_types(["image/png"]).require_file("avatar").build()?;
/// let app: Router = Router::new().route("/profile", post(save).layer(uploads.layer()));
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Multipart<T> {
    /// The fields without files.
    pub fields: T,
    /// The files, in the order of the form.
    pub files: Vec<Upload>,
}

impl<T> Multipart<T> {
    /// Returns the first file of a field.
    pub fn file(&self, field: &str) -> Option<&Upload> {
        self.files.iter().find(|file| file.field == field)
    }
}

/// A file of a form. It is deleted on drop.
pub struct Upload {
    field: String,
    name: Option<String>,
    content_type: String,
    size: u64,
    content: SpooledTempFile,
}

impl Upload {
    /// Returns the name of its field.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// Returns the file name that the client sent. It has no directories; still, do not store the file under it.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Returns its media type, by its first bytes. If they show no type, the one that the client sent.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// Returns its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the file, at its beginning, for `std::io::Read`. A file of more than 64 KiB is on disk, so read it on a
    /// thread that may block.
    pub fn into_file(self) -> SpooledTempFile {
        self.content
    }

    /// Returns the content of the file.
    ///
    /// # Errors
    ///
    /// The temporary file could not be read.
    pub async fn into_bytes(mut self) -> io::Result<Bytes> {
        let read = move || {
            let mut bytes = Vec::new();
            self.content.read_to_end(&mut bytes)?;
            Ok(bytes.into())
        };
        tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload")
            .field("field", &self.field)
            .field("content_type", &self.content_type)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// The largest file that is kept in memory.
const IN_MEMORY: usize = 64 * 1024;

impl<T: DeserializeOwned + HasRules> Extractor for Multipart<T> {}

impl<T> FromBody for Multipart<T>
where
    T: DeserializeOwned + Validate,
    T::Context: Send + Sync + 'static,
{
    async fn read(
        request: Request,
        settings: &Validation,
        findings: &mut Findings,
    ) -> Result<Option<Self>, ApiError> {
        let context = RuleContext::<T::Context>::from_extensions(request.extensions())?;
        let mut parts = Parts::from_request(request)?;
        let mut files = Vec::new();
        loop {
            match parts.next(findings).await? {
                Next::End => break,
                // The rest is read for its issues.
                Next::Refused => {}
                Next::File(about) => {
                    let (content, size) = stored(&mut parts).await?;
                    let (field, name) = (about.field, about.name);
                    let content_type = about.content_type;
                    files.push(Upload { field, name, content_type, size, content });
                }
            }
        }
        let texts = parts.into_texts(findings);
        let fields = settings.texts(texts, &*context, findings);
        Ok(fields.map(|fields| Self { fields, files }))
    }
}

/// Stores a file in memory, or on disk if it is larger, and goes back to its beginning.
async fn stored(parts: &mut Parts) -> Result<(SpooledTempFile, u64), ApiError> {
    let mut content = SpooledTempFile::new(IN_MEMORY);
    let mut size = 0;
    while let Some(chunk) = parts.chunk().await? {
        size += chunk.len();
        content = write(content, chunk, size).await.map_err(not_stored)?;
    }
    content.rewind().map_err(not_stored)?;
    Ok((content, size as u64))
}

/// Writes the next chunk of a file; on disk on a thread that may block.
async fn write(
    mut content: SpooledTempFile,
    chunk: Bytes,
    size: usize,
) -> io::Result<SpooledTempFile> {
    if size <= IN_MEMORY {
        content.write_all(&chunk)?;
        return Ok(content);
    }
    let write = move || content.write_all(&chunk).map(|()| content);
    tokio::task::spawn_blocking(write).await.map_err(io::Error::other)?
}

fn not_stored(error: io::Error) -> ApiError {
    ApiError::internal().with_source(error)
}
