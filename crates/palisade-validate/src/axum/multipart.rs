use std::{
    error::Error,
    fmt,
    io::{self, Read, Seek, Write},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use axum::{body::BodyDataStream, extract::Request};
use bytes::Bytes;
use futures_core::Stream;
use garde::Validate;
use http::header;
use http_body::Body as _;
use http_body_util::LengthLimitError;
use multer::Field;
use palisade_core::{ApiError, IssueSource};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tempfile::SpooledTempFile;

use super::{
    FromBody,
    uploads::{Caps, Uploads},
};
use crate::{
    RuleContext, Validation, issue_codes, json,
    place::{Findings, Found, Place},
    text,
};

/// A multipart form: its fields as a value of a type, and its files.
///
/// [`Uploads`] outside says how many and how large they may be, and of which types. A file of up to 64 KiB is kept in
/// memory, and a larger one in a temporary file without a name, which is gone when it is dropped. The type's fields are
/// those that are no files; their texts become numbers and the like as in a query string.
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
    /// The fields that are no files.
    pub fields: T,
    /// The files, in the order in which they came.
    pub files: Vec<Upload>,
}

impl<T> Multipart<T> {
    /// The first file of a field.
    pub fn file(&self, field: &str) -> Option<&Upload> {
        self.files.iter().find(|file| file.field == field)
    }
}

/// A file that was sent. It is gone when this is dropped.
pub struct Upload {
    field: String,
    name: Option<String>,
    content_type: String,
    size: u64,
    content: SpooledTempFile,
}

impl Upload {
    /// The field that it came in.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// What the client calls it. It has no directories in it, and is still no name to store it under.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Its media type: what its first bytes say, and only if they say nothing what the client says.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// Its length in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The file, at its beginning, for `std::io::Read`. What is larger than 64 KiB is on disk, so read it where a
    /// thread may wait.
    pub fn into_file(self) -> SpooledTempFile {
        self.content
    }

    /// All of it, in memory.
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

const FORM_DATA: &str = "multipart/form-data";

/// The largest file that is kept in memory.
const IN_MEMORY: usize = 64 * 1024;

/// How many of a file's first bytes tell what it is.
const TELLING: usize = 4 * 1024;

impl<S, T> FromBody<S> for Multipart<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Validate,
    T::Context: Default + Send + Sync + 'static,
{
    async fn read(
        request: Request,
        _: &S,
        settings: Validation,
        findings: &mut Findings,
    ) -> Result<Option<Self>, ApiError> {
        json::check(request.headers(), FORM_DATA, |field| {
            json::is_utf8_of(field, |essence| essence == FORM_DATA)
        })?;
        let caps = Uploads::of(request.extensions());
        let context = RuleContext::<T::Context>::of(request.extensions());
        let boundary = request.headers()[header::CONTENT_TYPE]
            .to_str()
            .ok()
            .and_then(|field| multer::parse_boundary(field).ok())
            .ok_or_else(|| {
                ApiError::bad_request().with_message("the multipart body has no boundary")
            })?;
        if request.body().size_hint().lower() > caps.body as u64 {
            return Err(too_large(Part::Body, caps.body));
        }
        let mut form =
            Form { caps, texts: Map::new(), text_bytes: 0, files: Vec::new(), sent: Vec::new() };
        form.collect(request.into_body().into_data_stream(), boundary, findings).await?;
        for field in &form.caps.required {
            if !form.sent.contains(field) {
                let missing =
                    Found::new(Place::default().name(field), issue_codes::MISSING, "is missing");
                findings.add(IssueSource::Part, [missing]);
            }
        }
        let texts = Value::Object(form.texts);
        let fields = settings.texts(texts, form.text_bytes, IssueSource::Part, &*context, findings);
        Ok(fields.map(|fields| Self { fields, files: form.files }))
    }
}

struct Form {
    caps: Arc<Caps>,
    texts: Map<String, Value>,
    text_bytes: usize,
    files: Vec<Upload>,
    /// The required fields in which a file came, whatever was wrong with it.
    sent: Vec<String>,
}

impl Form {
    async fn collect(
        &mut self,
        body: BodyDataStream,
        boundary: String,
        findings: &mut Findings,
    ) -> Result<(), ApiError> {
        let gauge = Arc::new(Gauge::default());
        let body = Gauged {
            has_given: false,
            body,
            gauge: Arc::clone(&gauge),
            caps: Arc::clone(&self.caps),
            read: 0,
        };
        let mut form = multer::Multipart::new(body, boundary);
        for count in 0.. {
            gauge.expect_headers();
            let field = form.next_field().await.map_err(unreadable)?;
            gauge.expect_content();
            let Some(field) = field else { break };
            if count >= self.caps.parts {
                let message = format!("the form has more than {} parts", self.caps.parts);
                return Err(ApiError::bad_request().with_message(message));
            }
            let Some(name) = field.name().map(str::to_owned) else {
                return Err(ApiError::bad_request().with_message("a part of the form has no name"));
            };
            if field.file_name().is_some() {
                self.file(name, field, findings).await?;
            } else {
                self.text(name, field, findings).await?;
            }
        }
        Ok(())
    }

    async fn text(
        &mut self,
        name: String,
        mut field: Field<'_>,
        findings: &mut Findings,
    ) -> Result<(), ApiError> {
        let charset = field.content_type().and_then(|media_type| media_type.get_param("charset"));
        if charset.is_some_and(|charset| charset != "utf-8") {
            return Err(ApiError::unsupported_media_type()
                .with_message("the fields of a form must be UTF-8"));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = field.chunk().await.map_err(unreadable)? {
            if bytes.len() + chunk.len() > self.caps.text {
                return Err(too_large(Part::Field, self.caps.text));
            }
            bytes.extend_from_slice(&chunk);
        }
        self.text_bytes += name.len() + bytes.len();
        match String::from_utf8(bytes) {
            Ok(text) => text::add(&mut self.texts, &name, text),
            Err(_) => {
                let found = Found::new(
                    Place::default().name(&name),
                    issue_codes::WRONG_TYPE,
                    "must be UTF-8",
                );
                findings.add(IssueSource::Part, [found]);
            }
        }
        Ok(())
    }

    async fn file(
        &mut self,
        name: String,
        mut field: Field<'_>,
        findings: &mut Findings,
    ) -> Result<(), ApiError> {
        let file_name = field.file_name().unwrap_or_default().to_owned();
        let declared = field.content_type().map(|media_type| media_type.essence_str().to_owned());
        let mut content = SpooledTempFile::new(IN_MEMORY);
        let mut first = Vec::new();
        let mut size = 0;
        while let Some(chunk) = field.chunk().await.map_err(unreadable)? {
            size += chunk.len();
            if size > self.caps.file {
                return Err(too_large(Part::File, self.caps.file).with_field(name));
            }
            first.extend_from_slice(&chunk[..chunk.len().min(TELLING - first.len())]);
            content = write(content, chunk, size).await.map_err(not_stored)?;
        }
        // What a browser sends for a field in which no file was chosen.
        if size == 0 && file_name.is_empty() {
            return Ok(());
        }
        if self.caps.required.contains(&name) && !self.sent.contains(&name) {
            self.sent.push(name.clone());
        }
        let place = Place::default().name(&name);
        if self.files.len() >= self.caps.files {
            let max = self.caps.files;
            let found = Found::new(
                place,
                issue_codes::TOO_MANY_FILES,
                format!("at most {max} files are taken"),
            );
            findings.add(IssueSource::Part, [found.with_param("max", max)]);
            return Ok(());
        }
        if !is_a_file_name(&file_name) {
            let words = "its file name must be without directories and control characters";
            findings.add(
                IssueSource::Part,
                [Found::new(place.clone(), issue_codes::INVALID_FILE_NAME, words)],
            );
        }
        match self.caps.type_of(&first, declared) {
            Some(content_type) => {
                content.rewind().map_err(not_stored)?;
                let file_name = (!file_name.is_empty()).then_some(file_name);
                let size = size as u64;
                self.files.push(Upload {
                    field: name,
                    name: file_name,
                    content_type,
                    size,
                    content,
                });
            }
            None => {
                let types: Vec<_> =
                    self.caps.types.iter().chain(&self.caps.unchecked_types).cloned().collect();
                let words = format!("must be a file of type {}", types.join(" or "));
                let found = Found::new(place, issue_codes::INVALID_FILE_TYPE, words)
                    .with_param("types", types);
                findings.add(IssueSource::Part, [found]);
            }
        }
        Ok(())
    }
}

impl Caps {
    /// What a file is, if it may be that.
    fn type_of(&self, first: &[u8], declared: Option<String>) -> Option<String> {
        let told = infer::get(first).map(|told| told.mime_type());
        let allows_all = self.types.is_empty() && self.unchecked_types.is_empty();
        match told {
            Some(told) if allows_all || self.types.iter().any(|allowed| allowed == told) => {
                Some(told.to_owned())
            }
            Some(_) => None,
            None if allows_all => {
                Some(declared.unwrap_or_else(|| "application/octet-stream".to_owned()))
            }
            None => declared.filter(|declared| self.unchecked_types.contains(declared)),
        }
    }
}

/// The next chunk of a file; on disk where a thread may wait for it.
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

/// RFC 7578, section 4.2: a name must not be used as it is. These would be dangerous to whoever does.
fn is_a_file_name(name: &str) -> bool {
    name.len() <= 255
        && !name.starts_with('.')
        && !name.ends_with(['.', ' '])
        && !name.chars().any(|char| char.is_control() || "/\\:*?\"<>|".contains(char))
}

#[derive(Clone, Copy)]
enum Part {
    Body,
    Headers,
    Field,
    File,
}

fn too_large(part: Part, max: usize) -> ApiError {
    let part = match part {
        Part::Body => "the form is",
        Part::Headers => "the headers of a part are",
        Part::Field => "a field of the form is",
        Part::File => "a file is",
    };
    ApiError::payload_too_large().with_message(format!("{part} larger than {max} bytes"))
}

fn not_stored(error: io::Error) -> ApiError {
    ApiError::internal().with_source(error)
}

/// The body went over a cap, ours or that of a layer outside, broke off, or is no form.
fn unreadable(error: multer::Error) -> ApiError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    let mut found = None;
    while let Some(now) = cause {
        if let Some(error) = now.downcast_ref::<ApiError>() {
            found = Some(error.clone());
        } else if now.is::<LengthLimitError>() {
            found = Some(ApiError::payload_too_large());
        }
        cause = now.source();
    }
    found
        .unwrap_or_else(|| ApiError::bad_request().with_message("the multipart body is malformed"))
        .with_source(error)
}

/// How many bytes came while headers were expected. The parser keeps them until it has seen their end, which may never
/// come.
#[derive(Default)]
struct Gauge {
    expects_headers: AtomicBool,
    header_bytes: AtomicUsize,
}

impl Gauge {
    fn expect_headers(&self) {
        self.header_bytes.store(0, Ordering::Relaxed);
        self.expects_headers.store(true, Ordering::Relaxed);
    }

    fn expect_content(&self) {
        self.expects_headers.store(false, Ordering::Relaxed);
    }
}

/// The body as the parser gets it: under the caps, and one chunk at a time. The parser would take all that is ready before
/// it looks at any of it, and a fast client would fill the memory.
struct Gauged {
    has_given: bool,
    body: BodyDataStream,
    gauge: Arc<Gauge>,
    caps: Arc<Caps>,
    read: usize,
}

impl Stream for Gauged {
    type Item = Result<Bytes, palisade_core::BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.has_given) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let expects_headers = self.gauge.expects_headers.load(Ordering::Relaxed);
        if expects_headers
            && self.gauge.header_bytes.load(Ordering::Relaxed) > self.caps.part_headers
        {
            let error = too_large(Part::Headers, self.caps.part_headers);
            return Poll::Ready(Some(Err(error.into())));
        }
        match Pin::new(&mut self.body).poll_next(cx) {
            Poll::Ready(Some(Ok(chunk))) => {
                self.has_given = true;
                self.read += chunk.len();
                if self.read > self.caps.body {
                    return Poll::Ready(Some(Err(too_large(Part::Body, self.caps.body).into())));
                }
                if expects_headers {
                    self.gauge.header_bytes.fetch_add(chunk.len(), Ordering::Relaxed);
                }
                Poll::Ready(Some(Ok(chunk)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}
