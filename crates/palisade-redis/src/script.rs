use std::sync::Arc;

use redis::Cmd;

/// A script's text, and the hash by which a server knows it. Clones are cheap. Give it to
/// [`Redis::preload`](crate::Redis::preload) once, and run it with [`Redis::run`](crate::Redis::run).
///
/// It answers with an array of whole numbers, or with a text for [`Redis::run_text`](crate::Redis::run_text). In a cluster
/// all its keys must live on one slot, as keys with one
/// `{hash tag}` do.
///
/// ```
/// use palisade_redis::Script;
///
/// let forget = Script::new("return { redis.call('DEL', KEYS[1]) }");
/// ```
#[derive(Clone, Debug)]
pub struct Script {
    text: Arc<str>,
    hash: Arc<str>,
}

impl Script {
    /// A script in Lua.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let hash = redis::Script::new(&text).get_hash().into();
        Self { text: text.into(), hash }
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.hash == other.hash
    }

    pub(crate) fn load(&self) -> Cmd {
        let mut command = redis::cmd("SCRIPT");
        command.arg("LOAD").arg(&*self.text);
        command
    }
}

/// A script with its keys and arguments.
pub(crate) struct Call<'a> {
    script: &'a Script,
    pub(crate) keys: &'a [String],
    arguments: Vec<&'a [u8]>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(
        script: &'a Script,
        keys: &'a [String],
        arguments: &'a [impl AsRef<[u8]>],
    ) -> Self {
        Self { script, keys, arguments: arguments.iter().map(AsRef::as_ref).collect() }
    }

    /// By hash, which a server knows since the connection was opened.
    pub(crate) fn by_hash(&self) -> Cmd {
        self.command("EVALSHA", &self.script.hash)
    }

    /// By text, for a server that lost its scripts since.
    pub(crate) fn by_text(&self) -> Cmd {
        self.command("EVAL", &self.script.text)
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(self.keys.len());
        command.arg(self.keys).arg(&self.arguments);
        command
    }
}
