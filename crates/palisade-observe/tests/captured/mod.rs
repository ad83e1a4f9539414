//! Events of the access log, as they were written.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

pub(crate) type Fields = BTreeMap<String, String>;

/// Keeps the fields of each event of one target.
#[derive(Clone, Default)]
pub(crate) struct Captured(Arc<Mutex<Vec<Fields>>>);

impl Captured {
    /// What `act` writes on this thread.
    #[allow(dead_code, reason = "some tests keep what is written on all threads")]
    pub(crate) fn during(act: impl FnOnce()) -> Vec<Fields> {
        let captured = Self::default();
        tracing::subscriber::with_default(captured.clone(), act);
        captured.so_far()
    }

    /// What was written until now.
    pub(crate) fn so_far(&self) -> Vec<Fields> {
        self.0.lock().unwrap().clone()
    }
}

struct Write<'a>(&'a mut Fields);

impl Visit for Write<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

impl Subscriber for Captured {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "palisade::access"
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::new();
        event.record(&mut Write(&mut fields));
        self.0.lock().unwrap().push(fields);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
