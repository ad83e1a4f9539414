//! What a new connection is prepared with: the scripts, and the channel for messages between machines.

use std::sync::{Arc, Mutex, PoisonError};

use redis::{PushInfo, PushKind, Value};

use crate::Script;

/// Takes a message. Returns false to get no more.
pub(crate) type Listener = Arc<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// Scripts above this number are sent with the call that needs them.
const MOST_SCRIPTS: usize = 64;

#[derive(Default)]
pub(crate) struct Setup {
    scripts: Mutex<Vec<Script>>,
    /// The channel, if messages are listened for.
    channel: Option<String>,
    listeners: Mutex<Vec<Listener>>,
}

impl Setup {
    pub(crate) fn new(channel: String) -> Self {
        Self { channel: Some(channel), ..Self::default() }
    }

    pub(crate) fn channel(&self) -> Option<&str> {
        self.channel.as_deref()
    }

    pub(crate) fn add_script(&self, script: &Script) {
        let mut scripts = self.scripts.lock().unwrap_or_else(PoisonError::into_inner);
        if scripts.len() < MOST_SCRIPTS && !scripts.iter().any(|known| known.is_same(script)) {
            scripts.push(script.clone());
        }
    }

    pub(crate) fn scripts(&self) -> Vec<Script> {
        self.scripts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn add_listener(&self, listener: Listener) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    /// Takes what a server sent without being asked.
    pub(crate) fn hear(&self, push: &PushInfo) {
        if push.kind != PushKind::Message {
            return;
        }
        if let Some(Value::BulkString(message)) = push.data.get(1) {
            let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
            listeners.retain(|listener| listener(message));
        }
    }
}
