use std::{sync::Arc, time::UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header, response};
use tokio::runtime::Handle;

use super::settings::Settings;
use crate::{
    CacheTags, Validators,
    entry::{Key, Stored},
    rules::{
        Asked, CACHE_STATUS, CacheStatus, Directives, Nominated, NotStored, Signals, Terms, Times,
        remove_unstorable, stripped_security_field, terms_of,
    },
    store::{Insertion, Mark},
};

/// A response that will be stored once its body is complete.
pub(super) struct Draft {
    pub(super) settings: Arc<Settings>,
    pub(super) key: Key,
    pub(super) mark: Mark,
    status: StatusCode,
    headers: HeaderMap,
    terms: Terms,
    nominated: Nominated,
    tags: Vec<Box<str>>,
    signals: Signals,
}

impl Draft {
    /// Decides whether a response is stored, and makes the header fields of hits.
    pub(super) fn new(
        settings: &Arc<Settings>,
        key: &Key,
        mark: Mark,
        asked: &Asked,
        response: &response::Parts,
        times: Times,
    ) -> Result<Self, NotStored> {
        let rules = &settings.rules;
        let (terms, nominated, directives) = terms_of(rules, asked, response, times)?;
        if let Some(field) = stripped_security_field(&response.headers, &rules.kept_fields)
            && settings.stripped.record(settings.clock.monotonic()).is_some()
        {
            tracing::warn!(
                target: "palisade::cache",
                field = field.as_str(),
                path = key.path(),
                "a security header field is not stored, so that hits lack it: write it outside of the cache by \
                 SecurityHeaders, or keep it by CacheBuilder::store_header"
            );
        }
        let headers = stored_headers(settings, response, &directives, times);
        Ok(Self {
            settings: Arc::clone(settings),
            key: key.clone(),
            mark,
            status: response.status,
            headers,
            terms,
            nominated,
            tags: CacheTags::of_response(response),
            signals: asked.signals.clone(),
        })
    }

    fn stored(&mut self, body: Bytes) -> Option<Arc<Stored>> {
        // The handler may have used it while the body was sent.
        if self.signals.is_for_one_request() {
            return None;
        }
        let mut headers = std::mem::take(&mut self.headers);
        let has_content =
            !matches!(self.status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT);
        // A body of another length than it declares is not complete.
        let declared = headers.get(header::CONTENT_LENGTH).map(|value| value.to_str().ok());
        if let Some(declared) = declared {
            let declared = declared.and_then(|text| text.parse::<u64>().ok());
            if declared != Some(body.len() as u64) {
                return None;
            }
        } else if has_content {
            headers.try_insert(header::CONTENT_LENGTH, HeaderValue::from(body.len())).ok()?;
        }
        // The first clone of a value that was made at run time allocates what its later clones share.
        drop(headers.clone());
        Some(Arc::new(Stored {
            status: self.status,
            headers,
            body,
            terms: self.terms,
            nominated: std::mem::take(&mut self.nominated),
            tags: std::mem::take(&mut self.tags),
            is_open: self.signals.is_open(),
        }))
    }

    /// Writes the version of the response, if it states none.
    pub(super) fn with_version(mut self, version: &Validators) -> Self {
        version.write(&mut self.headers);
        self
    }

    /// Gives the response the tags of the one that it confirms, if it has none.
    pub(super) fn tagged_as(mut self, other: &Stored) -> Self {
        if self.tags.is_empty() {
            self.tags.clone_from(&other.tags);
        }
        self
    }

    /// Stores the response. `None` if its body is not the one that its head declares.
    pub(super) async fn complete(mut self, body: Bytes) -> Option<Completed> {
        let stored = self.stored(body)?;
        let insertion = self.settings.store.insert(&self.key, &stored, &self.mark).await;
        Some(Completed { stored, insertion })
    }

    /// Stores the response outside of a request: the client has all of it.
    pub(super) fn complete_later(self, body: Bytes) {
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(self.complete(body));
        }
    }
}

/// A whole response, and whether it is stored.
pub(super) struct Completed {
    pub(super) stored: Arc<Stored>,
    pub(super) insertion: Insertion,
}

/// The header fields of hits (RFC 9111, section 3.1).
fn stored_headers(
    settings: &Settings,
    response: &response::Parts,
    directives: &Directives,
    times: Times,
) -> HeaderMap {
    let mut headers = response.headers.clone();
    remove_unstorable(&mut headers, directives, &settings.rules.kept_fields);
    // RFC 9110, section 6.6.1: a recipient with a clock adds it. The server writes the date of each response otherwise.
    if !headers.contains_key(header::DATE) {
        let date = httpdate::fmt_http_date(UNIX_EPOCH + times.response);
        if let Ok(date) = HeaderValue::try_from(date) {
            let _ = headers.try_insert(header::DATE, date);
        }
    }
    headers.remove(header::AGE);
    let _ = headers.try_insert(header::AGE, HeaderValue::from_static("0"));
    if settings.shows_status {
        let _ = headers.try_insert(CACHE_STATUS, CacheStatus::Hit.value());
    }
    headers
}
