//! Reads a form part by part, within its limits. Texts are collected, and files are passed on as streams.

use std::{
    borrow::Cow,
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::extract::Request;
use bytes::Bytes;
use futures_core::Stream;
use http::HeaderMap;
use http_body::Body as _;
use multer::Field;
use palisade_core::{ApiError, IssueSource};

use super::{
    file_rules::{About, TELLING},
    gauge::{Gauge, Gauged},
    parameters::{self, Disposition},
    too_large::{Part, too_large},
    uploads::{Caps, Uploads},
};
use crate::{
    axum::body::known_in,
    issue_codes, json,
    place::{Findings, Found, Place},
    texts::{Naming, Texts},
};

const FORM_DATA: &str = "multipart/form-data";

pub(in crate::axum) fn is_form_data(content_type: &str) -> bool {
    json::is_utf8(content_type, |essence| essence.eq_ignore_ascii_case(FORM_DATA))
}

pub(super) struct Parts {
    form: multer::Multipart<'static>,
    gauge: Arc<Gauge>,
    caps: Arc<Caps>,
    count: usize,
    files: usize,
    texts: Texts,
    /// The required fields for which a file was sent, rejected files included.
    sent: Vec<String>,
    file: Option<Incoming>,
    /// A call of `next` has begun and not ended.
    is_reading: bool,
}

/// A file that has not been read to its end.
struct Incoming {
    /// Read to detect its type.
    first: VecDeque<Bytes>,
    rest: Field<'static>,
    field: String,
    size: usize,
}

/// The next part of a form that the caller sees.
pub(super) enum Next {
    File(About),
    /// A rejected file. Its issues were added to the findings.
    Refused,
    End,
}

impl Parts {
    /// Begins to read a form, after checks of the request's head.
    pub(super) fn from_request(request: Request) -> Result<Self, ApiError> {
        json::check(request.headers(), FORM_DATA, is_form_data)?;
        let caps = Uploads::from_extensions(request.extensions());
        let boundary = parameters::boundary(request.headers()).map_err(malformed)?;
        if request.body().size_hint().lower() > caps.body as u64 {
            return Err(too_large(Part::Body, caps.body));
        }
        let (body, gauge) = Gauged::new(request.into_body().into_data_stream(), Arc::clone(&caps));
        Ok(Self {
            form: multer::Multipart::new(body, boundary),
            gauge,
            caps,
            count: 0,
            files: 0,
            texts: Texts::named(IssueSource::Part, Naming::AsIs),
            sent: Vec::new(),
            file: None,
            is_reading: false,
        })
    }

    /// Returns the next file. The texts before it are collected, and the rest of the previous file is skipped.
    pub(super) async fn next(&mut self, findings: &mut Findings) -> Result<Next, ApiError> {
        if std::mem::replace(&mut self.is_reading, true) {
            // The dropped future may have lost half a text, and the form must not look complete without it.
            return Err(
                ApiError::internal().with_source("a form is read on after a read was dropped")
            );
        }
        while self.chunk().await?.is_some() {}
        let next = loop {
            self.gauge.expect_headers();
            let field = self.form.next_field().await.map_err(unreadable)?;
            self.gauge.expect_content();
            let Some(field) = field else { break Next::End };
            // The gauge counts whole chunks, and a single chunk may have contained all headers.
            if header_bytes(field.headers()) > self.caps.part_headers {
                return Err(too_large(Part::Headers, self.caps.part_headers));
            }
            self.count += 1;
            if self.count > self.caps.parts {
                let message = format!("the form has more than {} parts", self.caps.parts);
                return Err(ApiError::bad_request().with_message(message));
            }
            let Disposition { field: name, file } =
                Disposition::from_headers(field.headers()).map_err(malformed)?;
            let Some(file_name) = file else {
                self.text(&name, field).await?;
                continue;
            };
            if let Some(next) = self.begin(name, file_name, field, findings).await? {
                break next;
            }
        };
        self.is_reading = false;
        Ok(next)
    }

    async fn text(&mut self, name: &str, mut field: Field<'_>) -> Result<(), ApiError> {
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
        self.texts.add(name, String::from_utf8(bytes).ok().map(Cow::Owned));
        Ok(())
    }

    /// Reads the bytes of a file that show its type. Returns `None` if the user chose no file.
    async fn begin(
        &mut self,
        name: String,
        file_name: String,
        field: Field<'static>,
        findings: &mut Findings,
    ) -> Result<Option<Next>, ApiError> {
        let declared = field.content_type().map(|media_type| media_type.essence_str().to_owned());
        let mut file =
            Incoming { first: VecDeque::new(), rest: field, field: name.clone(), size: 0 };
        let mut first = Vec::new();
        while first.len() < TELLING
            && let Some(chunk) = poll_fn(|cx| file.poll_more(&self.caps, cx)).await
        {
            let chunk = chunk?;
            first.extend_from_slice(&chunk[..chunk.len().min(TELLING - first.len())]);
            file.first.push_back(chunk);
        }
        // A browser sends this for a field in which no file was chosen.
        if file.size == 0 && file_name.is_empty() {
            return Ok(None);
        }
        self.file = Some(file);
        if self.caps.required.contains(&name) && !self.sent.contains(&name) {
            self.sent.push(name.clone());
        }
        let admitted = if self.files >= self.caps.files {
            let max = self.caps.files;
            let words = match max {
                0 => "is a file, and the form takes no files".to_owned(),
                _ => format!("at most {max} files are taken"),
            };
            let found =
                Found::new(Place::default().name(&name), issue_codes::TOO_MANY_FILES, words);
            Err(vec![found.with_param("max", max)])
        } else {
            self.caps.admit(name, file_name, declared, &first)
        };
        Ok(Some(match admitted {
            Ok(about) => {
                self.files += 1;
                Next::File(about)
            }
            Err(wrong) => {
                findings.add(IssueSource::Part, wrong);
                Next::Refused
            }
        }))
    }

    /// Returns the next bytes of the current file.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, ApiError> {
        poll_fn(|cx| self.poll_chunk(cx)).await.transpose()
    }

    /// The same.
    pub(super) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, ApiError>>> {
        let Some(file) = &mut self.file else { return Poll::Ready(None) };
        if let Some(chunk) = file.first.pop_front() {
            return Poll::Ready(Some(Ok(chunk)));
        }
        let chunk = ready!(file.poll_more(&self.caps, cx));
        if !matches!(chunk, Some(Ok(_))) {
            self.file = None;
        }
        Poll::Ready(chunk)
    }

    /// Returns the texts, at the end of the form, and adds an issue for each required file that is missing.
    pub(super) fn into_texts(self, findings: &mut Findings) -> Texts {
        for field in &self.caps.required {
            if !self.sent.contains(field) {
                let missing =
                    Found::new(Place::default().name(field), issue_codes::MISSING, "is missing");
                findings.add(IssueSource::Part, [missing]);
            }
        }
        self.texts
    }
}

impl Incoming {
    fn poll_more(
        &mut self,
        caps: &Caps,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, ApiError>>> {
        loop {
            let chunk = match ready!(Pin::new(&mut self.rest).poll_next(cx)) {
                None => return Poll::Ready(None),
                Some(chunk) => chunk.map_err(unreadable)?,
            };
            self.size = self.size.saturating_add(chunk.len());
            if self.size > caps.file {
                let error = too_large(Part::File, caps.file).with_field(self.field.clone());
                return Poll::Ready(Some(Err(error)));
            }
            if !chunk.is_empty() {
                return Poll::Ready(Some(Ok(chunk)));
            }
        }
    }
}

/// Returns the size of the headers: each is a line, with a colon and a space.
fn header_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum()
}

fn malformed(message: &'static str) -> ApiError {
    ApiError::bad_request().with_message(message)
}

/// Returns the error for a body that exceeded a limit, ended early, or is not a form.
fn unreadable(error: multer::Error) -> ApiError {
    known_in(&error)
        .unwrap_or_else(|| ApiError::bad_request().with_message("the multipart body is malformed"))
        .with_source(error)
}
