use std::{
    error::Error,
    fmt::{self, Write as _},
    panic::Location,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri, header};
use palisade_core::{ApiError, Step};

/// A body longer than this is cut, in bytes.
const LONGEST_BODY: usize = 2000;

/// A request that was sent, and what policies and log said about it.
pub(crate) struct Sent {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
    caller: Option<String>,
    location: &'static Location<'static>,
    pub(crate) steps: Vec<Step>,
    log: String,
}

impl Sent {
    pub(crate) fn new<B>(
        request: &Request<B>,
        body: Bytes,
        caller: Option<String>,
        location: &'static Location<'static>,
    ) -> Self {
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
            body,
            caller,
            location,
            steps: Vec::new(),
            log: String::new(),
        }
    }

    pub(crate) fn with_outcome(mut self, steps: Vec<Step>, log: String) -> Self {
        (self.steps, self.log) = (steps, log);
        self
    }

    pub(crate) fn method(&self) -> &Method {
        &self.method
    }

    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Returns the message for a service that returned an error instead of a response.
    pub(crate) fn failure(&self, error: &(dyn Error + 'static), log: &str) -> String {
        let mut report = format!("{self} failed: {error}{}\n\nlog:\n{log}", causes(error));
        self.write_request(&mut report);
        report
    }

    /// Returns the message of a failed assertion.
    pub(crate) fn report(
        &self,
        expectation: &str,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        error: Option<&ApiError>,
    ) -> String {
        let mut report = format!("{self}: {expectation}\n");
        // Writing to a string cannot fail.
        if let Some(error) = error {
            let _ = writeln!(report, "\nwhy: {error}{}", causes(error));
        }
        if !self.steps.is_empty() {
            let steps: Vec<_> = self.steps.iter().map(ToString::to_string).collect();
            let _ = writeln!(report, "\npolicies: {}", steps.join(", "));
        }
        if !self.log.is_empty() {
            let _ = write!(report, "\nlog:\n{}", indented(&self.log));
        }
        self.write_request(&mut report);
        let _ = write!(report, "\nresponse:\n  {status}\n{}", Message { headers, body });
        report
    }

    fn write_request(&self, report: &mut String) {
        let message = Message { headers: &self.headers, body: &self.body };
        let _ = write!(report, "\nrequest:\n  {} {}\n{message}", self.method, self.uri);
    }
}

/// `POST /items as ada {"roles":["admin"]} (sent at tests/items.rs:12)`.
impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.uri)?;
        if let Some(caller) = &self.caller {
            write!(f, " as {caller}")?;
        }
        write!(f, " (sent at {}:{})", self.location.file(), self.location.line())
    }
}

/// Headers and body, indented.
struct Message<'a> {
    headers: &'a HeaderMap,
    body: &'a [u8],
}

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.headers {
            // A token of a real issuer must not get into the log of a build.
            if matches!(*name, header::AUTHORIZATION | header::PROXY_AUTHORIZATION) {
                writeln!(f, "  {name}: … ({} bytes)", value.len())?;
            } else {
                writeln!(f, "  {name}: {}", String::from_utf8_lossy(value.as_bytes()))?;
            }
        }
        if self.body.is_empty() {
            return Ok(());
        }
        let shown = String::from_utf8_lossy(&self.body[..self.body.len().min(LONGEST_BODY)]);
        write!(f, "\n{}", indented(&shown))?;
        if self.body.len() > LONGEST_BODY {
            writeln!(f, "  … ({} bytes)", self.body.len())?;
        }
        Ok(())
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// Returns the sources of an error, each after a colon.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut causes = String::new();
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(causes, ": {error}");
        source = error.source();
    }
    causes
}
