use std::sync::Arc;

use http::Extensions;
use palisade_core::ConfigError;

use super::layer::UploadsLayer;

/// How many and how large the parts of a multipart form may be, and which files it may bring. For the
/// [`Multipart`](crate::Multipart) and [`MultipartStream`](crate::MultipartStream) extractors inside, as a tower layer.
///
/// | cap | unless said otherwise |
/// | --- | --- |
/// | the whole body | 50 MiB |
/// | parts | 100 |
/// | headers of a part | 8 KiB |
/// | a text field | 64 KiB |
/// | files | 10 |
/// | a file | 10 MiB |
///
/// axum's own limit of 2 MB does not count here, because this one is always there.
///
/// ```
/// use palisade_validate::Uploads;
///
/// let images = Uploads::builder()
///     .max_files(1)
///     .max_file_bytes(5 * 1024 * 1024)
///     .allow_types(["image/png", "image/jpeg"]) // by what the bytes are, not by what the client says
///     .require_file("avatar")
///     .build()?;
/// let layer = images.layer();
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Uploads(Arc<Caps>);

#[derive(Clone, Debug)]
pub(super) struct Caps {
    pub(super) body: usize,
    pub(super) parts: usize,
    pub(super) part_headers: usize,
    pub(super) text: usize,
    pub(super) files: usize,
    pub(super) file: usize,
    pub(super) types: Vec<String>,
    pub(super) unchecked_types: Vec<String>,
    pub(super) required: Vec<String>,
}

impl Uploads {
    /// Caps to be changed.
    pub fn builder() -> UploadsBuilder {
        const KIB: usize = 1024;
        const MIB: usize = 1024 * KIB;
        UploadsBuilder(Caps {
            body: 50 * MIB,
            parts: 100,
            part_headers: 8 * KIB,
            text: 64 * KIB,
            files: 10,
            file: 10 * MIB,
            types: Vec::new(),
            unchecked_types: Vec::new(),
            required: Vec::new(),
        })
    }

    /// These caps for everything inside, as a tower layer.
    ///
    /// What a stream of a form was refused for is its answer, whatever the handler makes of it.
    pub fn layer(self) -> UploadsLayer {
        UploadsLayer::new(self)
    }

    pub(super) fn of(extensions: &Extensions) -> Arc<Caps> {
        match extensions.get::<Self>() {
            Some(uploads) => Arc::clone(&uploads.0),
            None => Arc::new(Self::builder().0),
        }
    }
}

/// Makes [`Uploads`].
#[derive(Clone, Debug)]
pub struct UploadsBuilder(Caps);

impl UploadsBuilder {
    /// The most bytes of a whole body.
    #[must_use]
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.0.body = bytes;
        self
    }

    /// The most parts, fields and files together.
    #[must_use]
    pub fn max_parts(mut self, parts: usize) -> Self {
        self.0.parts = parts;
        self
    }

    /// The most bytes of the headers of one part.
    #[must_use]
    pub fn max_part_header_bytes(mut self, bytes: usize) -> Self {
        self.0.part_headers = bytes;
        self
    }

    /// The most bytes of a field that is no file.
    #[must_use]
    pub fn max_field_bytes(mut self, bytes: usize) -> Self {
        self.0.text = bytes;
        self
    }

    /// The most files.
    #[must_use]
    pub fn max_files(mut self, files: usize) -> Self {
        self.0.files = files;
        self
    }

    /// The most bytes of one file.
    #[must_use]
    pub fn max_file_bytes(mut self, bytes: usize) -> Self {
        self.0.file = bytes;
        self
    }

    /// Takes files of these types only, told by their first bytes. What the client says they are does not count.
    #[must_use]
    pub fn allow_types<I>(mut self, types: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.0.types.extend(types.into_iter().map(Into::into));
        self
    }

    /// Takes files that the client says are of this type, and that have no first bytes by which they are something else:
    /// for text, which has none of its own.
    #[must_use]
    pub fn insecure_allow_declared_type(mut self, media_type: impl Into<String>) -> Self {
        self.0.unchecked_types.push(media_type.into());
        self
    }

    /// Refuses forms without a file in this field.
    #[must_use]
    pub fn require_file(mut self, field: impl Into<String>) -> Self {
        self.0.required.push(field.into());
        self
    }

    /// The caps.
    ///
    /// # Errors
    ///
    /// A type that cannot be told by first bytes, or caps that contradict each other.
    pub fn build(self) -> Result<Uploads, ConfigError> {
        let caps = self.0;
        for media_type in &caps.types {
            if !infer::is_mime_supported(media_type) {
                return Err(ConfigError::new(
                    "allow_types",
                    media_type,
                    "its files have no first bytes of their own: write `insecure_allow_declared_type`",
                ));
            }
        }
        if caps.files > 0 && caps.file > caps.body {
            return Err(ConfigError::new(
                "max_file_bytes",
                caps.file,
                format!("no body is longer than `max_body_bytes`, which is {}", caps.body),
            ));
        }
        if caps.required.len() > caps.files {
            return Err(ConfigError::new(
                "max_files",
                caps.files,
                format!("{} are required with `require_file`", caps.required.len()),
            ));
        }
        Ok(Uploads(Arc::new(caps)))
    }
}
