use std::sync::Arc;

use http::Extensions;
use palisade_core::ConfigError;

/// Limits for the parts of a multipart form, and the accepted types of files. A tower layer for the
/// [`Multipart`](crate::Multipart) and [`MultipartStream`](crate::MultipartStream) extractors inside.
///
/// | limit | default |
/// | --- | --- |
/// | the whole body | 50 MiB |
/// | parts | 100 |
/// | headers of a part | 8 KiB |
/// | a text field | 64 KiB |
/// | files | 10 |
/// | a file | 10 MiB |
///
/// axum's own limit of 2 MB does not apply, because these limits always exist.
///
/// ```
/// use palisade_validate::Uploads;
///
/// let images = Uploads::builder()
///     .max_files(1)
///     .max_file_bytes(5 * 1024 * 1024)
///     .allow_types(["image/png", "image/jpeg"]) // by their first bytes, not by the declared type
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
    /// Returns a builder with the default limits.
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

    /// Changes the limits of the request's extensions to accept no files.
    pub(in crate::axum) fn forbid_files(extensions: &mut Extensions) {
        let mut caps = Self::from_extensions(extensions);
        let forms = Arc::make_mut(&mut caps);
        forms.files = 0;
        forms.required.clear();
        extensions.insert(Self(caps));
    }

    pub(super) fn from_extensions(extensions: &Extensions) -> Arc<Caps> {
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
    /// Sets the size limit of a whole body, in bytes.
    #[must_use]
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.0.body = bytes;
        self
    }

    /// Sets the maximum number of parts, fields and files together.
    #[must_use]
    pub fn max_parts(mut self, parts: usize) -> Self {
        self.0.parts = parts;
        self
    }

    /// Sets the size limit of the headers of one part, in bytes.
    #[must_use]
    pub fn max_part_header_bytes(mut self, bytes: usize) -> Self {
        self.0.part_headers = bytes;
        self
    }

    /// Sets the size limit of a field without a file, in bytes.
    #[must_use]
    pub fn max_field_bytes(mut self, bytes: usize) -> Self {
        self.0.text = bytes;
        self
    }

    /// Sets the maximum number of files.
    #[must_use]
    pub fn max_files(mut self, files: usize) -> Self {
        self.0.files = files;
        self
    }

    /// Sets the size limit of one file, in bytes.
    #[must_use]
    pub fn max_file_bytes(mut self, bytes: usize) -> Self {
        self.0.file = bytes;
        self
    }

    /// Accepts files of these types only, recognised by their first bytes. The declared type does not count.
    #[must_use]
    pub fn allow_types<I>(mut self, types: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.0.types.extend(types.into_iter().map(Into::into));
        self
    }

    /// Accepts files that are declared as this type and that have no first bytes of another type: for text, which cannot be
    /// recognised by its first bytes.
    #[must_use]
    pub fn insecure_allow_declared_type(mut self, media_type: impl Into<String>) -> Self {
        self.0.unchecked_types.push(media_type.into());
        self
    }

    /// Rejects forms without a file in this field.
    #[must_use]
    pub fn require_file(mut self, field: impl Into<String>) -> Self {
        self.0.required.push(field.into());
        self
    }

    /// Returns the limits.
    ///
    /// # Errors
    ///
    /// A type cannot be recognised by its first bytes, or limits contradict each other.
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
