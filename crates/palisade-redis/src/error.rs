use std::{error::Error, fmt, time::Duration};

/// The reason of a failed call. For logs, not for clients. Contains no credentials.
#[derive(Clone)]
pub struct RedisError(Failure);

impl RedisError {
    /// True if the error concerns the keys of this call alone, and the server may well answer calls for other keys: a value
    /// of another type, a slot of a cluster that is being moved or that no node serves, an answer of another form.
    pub fn is_of_key(&self) -> bool {
        match &self.0 {
            Failure::Refused(error) => {
                says(error, OF_KEY) || error.detail().is_some_and(is_unserved_slot)
            }
            Failure::Unexpected | Failure::TooManyRedirects => true,
            _ => false,
        }
    }
}

/// The codes of errors that concern keys.
const OF_KEY: &[&str] = &["TRYAGAIN", "WRONGTYPE", "CROSSSLOT"];

/// Other errors with the code CLUSTERDOWN concern the whole cluster.
fn is_unserved_slot(detail: &str) -> bool {
    detail.contains("slot not served")
}

/// True if the server answered with one of these codes. Up to version 6 a script's error has the code of what failed in
/// its text.
fn says(error: &redis::RedisError, codes: &[&str]) -> bool {
    let text = error.detail().unwrap_or_default();
    error.code().is_some_and(|code| codes.contains(&code))
        || codes.iter().any(|code| text.contains(&format!("-{code} ")))
}

impl From<Failure> for RedisError {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl fmt::Debug for RedisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for RedisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Error for RedisError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Failure::Unreachable(error) | Failure::Refused(error) => Some(error),
            _ => None,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// There is no connection after this time.
    NoConnection { waited: Duration, is_plain: bool },
    /// There is no answer after this time.
    NoAnswer(Duration),
    /// Connecting failed, now or a moment ago.
    Unreachable(redis::RedisError),
    /// The server answered with an error, or the connection broke.
    Refused(redis::RedisError),
    /// The answer is not one of a script.
    Unexpected,
    /// The node that sentinels call the master is a replica.
    NotMaster,
    /// No sentinel knows the master.
    NoMaster(String),
    /// The sentinels name another master than that of the connection.
    OtherMaster,
    /// No node told which nodes have which slots of the cluster.
    #[cfg(feature = "cluster")]
    NoSlots,
    /// Nodes of the cluster sent the call from one to the other.
    #[cfg_attr(not(feature = "cluster"), expect(dead_code, reason = "only clusters redirect"))]
    TooManyRedirects,
    /// The future was polled outside of a tokio runtime.
    NoRuntime,
    /// The runtime that was connecting was shut down.
    Abandoned,
}

/// Codes of errors after which another connection may lead to a server that serves: this one became a replica, lost its
/// replicas because there is another master, or asks for a password since it was restarted.
const LEAVE: &[&str] = &["READONLY", "MASTERDOWN", "NOAUTH", "NOREPLICAS"];

impl Failure {
    /// True if the connection broke before it answered.
    pub(crate) fn is_hang_up(&self) -> bool {
        matches!(self, Self::Refused(error) if error.is_unrecoverable_error())
    }

    /// True if the server does not know a script by its hash.
    pub(crate) fn is_unknown_script(&self) -> bool {
        matches!(self, Self::Refused(error) if error.code() == Some("NOSCRIPT"))
    }

    /// True if another connection should be opened.
    pub(crate) fn calls_for_another_connection(&self) -> bool {
        self.is_hang_up() || matches!(self, Self::Refused(error) if says(error, LEAVE))
    }

    /// True if the slots of the node may have gone to another one.
    #[cfg(feature = "cluster")]
    pub(crate) fn is_loss_of_node(&self) -> bool {
        !matches!(self, Self::Refused(_)) || self.calls_for_another_connection()
    }

    #[cfg(feature = "cluster")]
    pub(crate) fn has_code(&self, code: &str) -> bool {
        matches!(self, Self::Refused(error) if error.code() == Some(code))
    }
}

/// What an operator can do about a connection that failed in the handshake.
fn hint(error: &redis::RedisError) -> &'static str {
    let text = error.to_string();
    if text.contains("InvalidContentType") || text.contains("corrupt message") {
        ": the port does not speak TLS; use its TLS port, or redis:// in place of rediss://"
    } else if text.contains("ProtocolVersion") || text.contains("PeerIncompatible") {
        ": the server does not offer TLS 1.2 or 1.3; enable one of them there (tls-protocols)"
    } else if error.is_io_error()
        && !error.is_connection_refusal()
        && !error.is_timeout()
        && is_cut(&text)
    {
        ": the server closed the connection at its beginning; if this is its TLS port, use rediss:// in place of redis://"
    } else {
        ""
    }
}

fn is_cut(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["end of file", "unexpected eof", "reset", "broken pipe", "closed"]
        .iter()
        .any(|cut| text.contains(cut))
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("redis: ")?;
        match self {
            Self::NoConnection { waited, is_plain } => {
                write!(f, "no connection within {waited:?} (connect_timeout)")?;
                // Neither side answers the greeting of the other protocol: each waits for the rest of what it takes it for.
                f.write_str(if *is_plain {
                    "; if the port speaks TLS, use rediss:// in place of redis://"
                } else {
                    "; if the port does not speak TLS, use its TLS port, or redis:// in place of rediss://"
                })
            }
            Self::NoAnswer(waited) => write!(f, "no answer within {waited:?} (response_timeout)"),
            Self::Unreachable(error) => write!(f, "cannot connect: {error}{}", hint(error)),
            Self::Refused(error) => write!(f, "{error}"),
            Self::Unexpected => f.write_str("the answer is not an array of numbers"),
            Self::NotMaster => f.write_str("the node that sentinels call the master is a replica"),
            Self::NoMaster(name) => write!(f, "no sentinel knows a master named `{name}`"),
            Self::OtherMaster => f.write_str("the sentinels name another master"),
            #[cfg(feature = "cluster")]
            Self::NoSlots => {
                f.write_str("no node of the cluster returned the map of slots")
            }
            Self::TooManyRedirects => f.write_str(
                "the nodes of the cluster redirected the call to each other: its slot is being moved",
            ),
            Self::NoRuntime => f.write_str("polled outside of a tokio runtime"),
            Self::Abandoned => f.write_str("the runtime shut down while connecting"),
        }
    }
}
