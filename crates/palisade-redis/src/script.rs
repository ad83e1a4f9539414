use redis::Cmd;

/// A script's text, and the hash by which a server knows it. Make it once, and run it with [`Redis::run`](crate::Redis::run).
///
/// It answers with an array of whole numbers, or with a text for [`Redis::run_text`](crate::Redis::run_text). In a cluster all its keys must live on one slot, which keys with one
/// `{hash tag}` do.
///
/// ```
/// use palisade_redis::Script;
///
/// let forget = Script::new("return { redis.call('DEL', KEYS[1]) }");
/// ```
#[derive(Debug)]
pub struct Script {
    text: String,
    hash: String,
}

impl Script {
    /// A script in Lua.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let hash = redis::Script::new(&text).get_hash().to_owned();
        Self { text, hash }
    }
}

/// A script and what it is asked.
pub(crate) struct Call<'a> {
    pub(crate) script: &'a Script,
    pub(crate) keys: &'a [String],
    pub(crate) arguments: &'a [String],
}

impl Call<'_> {
    /// By hash, which servers know after the first time.
    pub(crate) fn by_hash(&self) -> Cmd {
        self.command("EVALSHA", &self.script.hash)
    }

    /// By text, for a server that does not know the hash. It then runs at once, and on the node where the keys live: loading
    /// it first would take a round trip more, and in a cluster would have to reach every node.
    pub(crate) fn by_text(&self) -> Cmd {
        self.command("EVAL", &self.script.text)
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(self.keys.len());
        command.arg(self.keys).arg(self.arguments);
        command
    }
}
