//! How one gets to the server.

use std::{collections::HashSet, time::Duration};

#[cfg(feature = "cluster")]
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    RedisConnectionInfo, RedisError, Value, aio::MultiplexedConnection, io::tcp::TcpSettings,
};
use tokio::task::JoinSet;

use crate::error::Failure;

/// How long is waited for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) connect: Duration,
    pub(crate) response: Duration,
}

/// Where the server is.
pub(crate) enum Topology {
    Standalone(Client),
    Sentinel(Sentinels),
    #[cfg(feature = "cluster")]
    Cluster(Box<redis::cluster::ClusterClient>),
}

/// Those who know which node is the master.
pub(crate) struct Sentinels {
    pub(crate) asked: Vec<Client>,
    pub(crate) master: String,
    /// How to introduce oneself to the master.
    pub(crate) login: RedisConnectionInfo,
    pub(crate) certificates: Certificates,
}

/// An open connection. Clones share it; what is asked on one is answered in order, and answers nobody waits for any more are
/// read and dropped.
#[derive(Clone)]
pub(crate) enum Pipe {
    Node(MultiplexedConnection),
    #[cfg(feature = "cluster")]
    Cluster(ClusterConnection),
}

impl Pipe {
    pub(crate) async fn ask(&mut self, command: &Cmd) -> Result<Value, RedisError> {
        match self {
            Self::Node(node) => command.query_async(node).await,
            #[cfg(feature = "cluster")]
            Self::Cluster(cluster) => command.query_async(cluster).await,
        }
    }

    /// True if one lost node is not the loss of the connection, because there are others and it is repaired from within.
    pub(crate) fn repairs_itself(&self) -> bool {
        match self {
            Self::Node(_) => false,
            #[cfg(feature = "cluster")]
            Self::Cluster(_) => true,
        }
    }
}

impl Topology {
    pub(crate) async fn connect(&self, timeouts: Timeouts) -> Result<Pipe, Failure> {
        match self {
            Self::Standalone(client) => connect(client, timeouts).await.map(Pipe::Node),
            Self::Sentinel(sentinels) => {
                sentinels.connect_to_master(timeouts).await.map(Pipe::Node)
            }
            #[cfg(feature = "cluster")]
            Self::Cluster(client) => {
                let connection = client.get_async_connection().await;
                connection.map(Pipe::Cluster).map_err(Failure::Unreachable)
            }
        }
    }
}

async fn connect(client: &Client, timeouts: Timeouts) -> Result<MultiplexedConnection, Failure> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(timeouts.connect))
        // One timer a request is enough: the link's.
        .set_response_timeout(None)
        .set_pipeline_buffer_size(1024);
    let connection = client.get_multiplexed_async_connection_with_config(&config).await;
    connection.map_err(Failure::Unreachable)
}

impl Sentinels {
    /// Asks all sentinels at once and believes the first whose master calls itself one: a sentinel that was cut off
    /// remembers the master of long ago.
    async fn connect_to_master(
        &self,
        timeouts: Timeouts,
    ) -> Result<MultiplexedConnection, Failure> {
        let mut asking = JoinSet::new();
        for client in &self.asked {
            asking.spawn(master_of(client.clone(), self.master.clone(), timeouts));
        }
        let mut failure = Failure::NoMaster(self.master.clone());
        let mut tried = HashSet::new();
        while let Some(answer) = asking.join_next().await {
            let address = match answer {
                Ok(Ok(Some(address))) => address,
                Ok(Ok(None)) | Err(_) => continue,
                Ok(Err(error)) => {
                    failure = error;
                    continue;
                }
            };
            if !tried.insert(address.to_string()) {
                continue;
            }
            match self.connect_if_master(address, timeouts).await {
                Ok(connection) => return Ok(connection),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn connect_if_master(
        &self,
        address: ConnectionAddr,
        timeouts: Timeouts,
    ) -> Result<MultiplexedConnection, Failure> {
        let info = address.into_connection_info().map_err(Failure::Unreachable)?;
        let info = prompt(info.set_redis_settings(self.login.clone()));
        let client = self.certificates.client(info).map_err(Failure::Unreachable)?;
        let mut connection = connect(&client, timeouts).await?;
        let command = redis::cmd("ROLE");
        let role = command.query_async::<Value>(&mut connection);
        match within(timeouts.response, role).await {
            Ok(Value::Array(role)) if is_text(role.first(), b"master") => Ok(connection),
            // Who may not ask has to believe.
            Err(Failure::Refused(error)) if error.code() == Some("NOPERM") => Ok(connection),
            Ok(_) => Err(Failure::NotMaster),
            Err(failure) => Err(failure),
        }
    }
}

/// Where this sentinel believes the master to be, if it knows it.
async fn master_of(
    sentinel: Client,
    master: String,
    timeouts: Timeouts,
) -> Result<Option<ConnectionAddr>, Failure> {
    let mut connection = connect(&sentinel, timeouts).await?;
    let mut command = redis::cmd("SENTINEL");
    command.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
    let answer = command.query_async::<Option<(String, u16)>>(&mut connection);
    let Some((host, port)) = within(timeouts.response, answer).await? else {
        return Ok(None);
    };
    // Masters speak TLS if the sentinels do.
    Ok(Some(match sentinel.get_connection_info().addr() {
        ConnectionAddr::TcpTls { .. } => {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        }
        _ => ConnectionAddr::Tcp(host, port),
    }))
}

async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => answer.map_err(Failure::Refused),
        Err(_) => Err(Failure::NoAnswer(limit)),
    }
}

fn is_text(value: Option<&Value>, text: &[u8]) -> bool {
    match value {
        Some(Value::BulkString(bytes)) => bytes == text,
        Some(Value::SimpleString(string)) => string.as_bytes() == text,
        _ => false,
    }
}

/// A call is one small packet each way. Nagle's algorithm would keep it back for company.
pub(crate) fn prompt(info: ConnectionInfo) -> ConnectionInfo {
    info.set_tcp_settings(TcpSettings::default().set_nodelay(true))
}

/// Whom to trust, and how to be trusted.
#[derive(Clone, Default)]
pub(crate) struct Certificates {
    #[cfg(feature = "tls")]
    pub(crate) authority: Option<Vec<u8>>,
    /// A certificate and its key.
    #[cfg(feature = "tls")]
    pub(crate) own: Option<(Vec<u8>, palisade_core::Secret)>,
}

impl Certificates {
    /// A client of the node. Nothing is connected.
    pub(crate) fn client(&self, info: ConnectionInfo) -> Result<Client, RedisError> {
        #[cfg(feature = "tls")]
        if let ConnectionAddr::TcpTls { .. } = info.addr() {
            return match self.for_redis() {
                Some(certificates) => Client::build_with_tls(info, certificates),
                None => Client::open(info),
            };
        }
        Client::open(info)
    }

    #[cfg(feature = "tls")]
    #[allow(clippy::disallowed_methods, reason = "the key goes to TLS")]
    pub(crate) fn for_redis(&self) -> Option<redis::TlsCertificates> {
        if self.authority.is_none() && self.own.is_none() {
            return None;
        }
        let client_tls = self.own.as_ref().map(|(certificate, key)| redis::ClientTlsConfig {
            client_cert: certificate.clone(),
            client_key: key.expose().to_vec(),
        });
        Some(redis::TlsCertificates { client_tls, root_cert: self.authority.clone() })
    }
}
