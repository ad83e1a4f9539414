use std::{fmt, sync::Arc};

use redis::Value;

use crate::{
    RedisBuilder, RedisError, Script, error::Failure, link::Link, script::Call, topology::Timeouts,
};

/// Redis or Valkey: one connection that all clones share, and a prefix for the names of keys.
///
/// ```
/// use std::time::Duration;
/// use palisade_redis::Redis;
///
/// // nothing is connected before it is first needed
/// let redis = Redis::builder("redis://10.0.0.7:6379")
///     .prefix("shop")
///     .response_timeout(Duration::from_millis(20))
///     .build()?;
/// assert_eq!(redis.prefix(), "shop");
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Redis {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) link: Link,
    pub(crate) prefix: String,
    /// What to show of it: addresses, and no credentials.
    pub(crate) topology: &'static str,
    pub(crate) addresses: Vec<String>,
    pub(crate) timeouts: Timeouts,
}

impl Redis {
    /// One server: `redis://[user:password@]host[:port][/database]`, `rediss://` with TLS, or `unix:///path/to/socket`.
    ///
    /// A special character in a password has to be percent-encoded, or given to [`RedisBuilder::password`] as it is.
    ///
    /// ```
    /// use palisade_redis::Redis;
    ///
    /// assert!(Redis::builder("redis://127.0.0.1:6379").build().is_ok());
    ///
    /// let error = Redis::builder("redis://user:pass word@host:port").build().unwrap_err().to_string();
    /// assert!(error.starts_with("url is not valid: "));
    /// assert!(!error.contains("pass word"));
    /// ```
    pub fn builder(url: impl Into<String>) -> RedisBuilder {
        RedisBuilder::standalone(url.into())
    }

    /// A Redis Cluster, found through any of these nodes. All of them are given the same credentials.
    ///
    /// ```
    /// use palisade_redis::Redis;
    ///
    /// let nodes = ["redis://10.0.0.1:6379", "redis://10.0.0.2:6379", "redis://10.0.0.3:6379"];
    /// let redis = Redis::cluster(nodes).build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    #[cfg(feature = "cluster")]
    pub fn cluster<U: Into<String>>(urls: impl IntoIterator<Item = U>) -> RedisBuilder {
        RedisBuilder::cluster(urls.into_iter().map(Into::into).collect())
    }

    /// The master that these sentinels watch under this name. After a failover they are asked again.
    ///
    /// Credentials in the URLs are for the sentinels; those of the master are given to
    /// [`username`](RedisBuilder::username) and [`password`](RedisBuilder::password). With `rediss://`, master and sentinels
    /// are both spoken to with TLS.
    ///
    /// A replica knows of the last moments before a failover only what reached it: the rest is forgotten.
    ///
    /// ```
    /// use palisade_redis::Redis;
    ///
    /// let sentinels = ["redis://10.0.0.1:26379", "redis://10.0.0.2:26379", "redis://10.0.0.3:26379"];
    /// let redis = Redis::sentinel(sentinels, "mymaster").password("of the master").build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn sentinel<U: Into<String>>(
        urls: impl IntoIterator<Item = U>,
        master: impl Into<String>,
    ) -> RedisBuilder {
        RedisBuilder::sentinel(urls.into_iter().map(Into::into).collect(), master.into())
    }

    pub(crate) fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// What the names of all keys begin with: the [prefix](RedisBuilder::prefix) as a [`key_part`].
    pub fn prefix(&self) -> &str {
        &self.inner.prefix
    }

    /// Runs a script and returns the numbers that it answers.
    ///
    /// A caller that gives up before there is an answer does not know whether the script ran.
    ///
    /// # Errors
    ///
    /// If there is no answer within the time-outs, if it is an error, or if it is no array of whole numbers: a proxy or a
    /// server of another kind may answer anything. Outside of a tokio runtime with I/O and time.
    pub async fn run(
        &self,
        script: &Script,
        keys: &[String],
        arguments: &[String],
    ) -> Result<Vec<i64>, RedisError> {
        let answer = self.inner.link.call(&Call { script, keys, arguments }).await?;
        Ok(numbers(&answer).ok_or(Failure::Unexpected)?)
    }

    /// Runs a script and returns the text that it answers, or `None` if it answers `false`.
    ///
    /// A caller that gives up before there is an answer does not know whether the script ran.
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run), and an answer that is not a text in UTF-8.
    pub async fn run_text(
        &self,
        script: &Script,
        keys: &[String],
        arguments: &[String],
    ) -> Result<Option<String>, RedisError> {
        let answer = self.inner.link.call(&Call { script, keys, arguments }).await?;
        Ok(text(answer).ok_or(Failure::Unexpected)?)
    }
}

/// Bytes that are not UTF-8 are not what a script of ours stored.
fn text(answer: Value) -> Option<Option<String>> {
    match answer {
        Value::Nil => Some(None),
        Value::BulkString(bytes) => String::from_utf8(bytes).ok().map(Some),
        Value::SimpleString(text) => Some(Some(text)),
        _ => None,
    }
}

fn numbers(answer: &Value) -> Option<Vec<i64>> {
    let Value::Array(items) = answer else { return None };
    let number = |item: &Value| match item {
        Value::Int(number) => Some(*number),
        _ => None,
    };
    items.iter().map(number).collect()
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { topology, addresses, prefix, timeouts, .. } = &*self.inner;
        f.debug_struct("Redis")
            .field("topology", topology)
            .field("addresses", addresses)
            .field("prefix", prefix)
            .field("connect_timeout", &timeouts.connect)
            .field("response_timeout", &timeouts.response)
            .finish_non_exhaustive()
    }
}

/// Text as a part of a key's name: no byte of it can be taken for a separator or a brace, and different texts stay different.
///
/// ```
/// use palisade_redis::key_part;
///
/// assert_eq!(key_part("per user"), "per%20user");
/// assert_ne!(key_part("a:b"), key_part("a%3Ab"));
/// ```
pub fn key_part(text: &str) -> String {
    let mut part = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                part.push(char::from(byte));
            }
            _ => part.push_str(&format!("%{byte:02X}")),
        }
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_text_and_nil_are_text() {
        assert_eq!(text(Value::Nil), Some(None));
        assert_eq!(text(Value::BulkString(b"a".to_vec())), Some(Some("a".to_owned())));
        for strange in [Value::Int(1), Value::Array(vec![]), Value::BulkString(vec![0xff])] {
            assert_eq!(text(strange.clone()), None, "{strange:?}");
        }
    }

    #[test]
    fn what_is_no_array_of_numbers_is_no_answer() {
        let ints =
            |numbers: &[i64]| Value::Array(numbers.iter().copied().map(Value::Int).collect());
        assert_eq!(numbers(&ints(&[])), Some(vec![]));
        assert_eq!(numbers(&ints(&[1, -2])), Some(vec![1, -2]));
        for strange in [
            Value::Nil,
            Value::Okay,
            Value::Int(1),
            Value::SimpleString("PONG".into()),
            Value::Array(vec![Value::BulkString(b"1".to_vec())]),
            Value::Array(vec![Value::Int(1), Value::Nil]),
        ] {
            assert_eq!(numbers(&strange), None, "{strange:?}");
        }
    }
}
