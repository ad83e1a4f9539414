//! How a connection to a server, or to the master that sentinels name, is opened.
//!
//! Not `redis::sentinel` of redis 1.8.1: it asks the sentinels one after another, so each that does not respond adds its connect
//! time-out, 1 s by default. Here all are asked at once, and the first answer that names a master counts.

use std::{collections::HashSet, sync::Arc, time::Duration};

#[cfg(feature = "tls")]
use palisade_core::ConfigError;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    ProtocolVersion, PushInfo, RedisConnectionInfo, RedisError, Value, aio::MultiplexedConnection,
    io::tcp::TcpSettings,
};
use tokio::task::JoinSet;

use crate::{
    error::Failure,
    link::{Boxed, Link, Opened, Target, Timeouts},
    setup::Setup,
};

/// The target of a link.
pub(crate) enum Place {
    Node(Client),
    Master(Sentinels),
}

/// The sentinels of a master.
pub(crate) struct Sentinels {
    pub(crate) links: Vec<Link>,
    pub(crate) master: String,
    /// The credentials for the master.
    pub(crate) login: RedisConnectionInfo,
    pub(crate) certificates: Certificates,
}

impl Target for Place {
    fn connect<'a>(
        &'a self,
        timeouts: Timeouts,
        setup: &'a Arc<Setup>,
    ) -> Boxed<'a, Result<Opened, Failure>> {
        Box::pin(async move {
            match self {
                Self::Node(client) => open(client, timeouts, setup).await,
                Self::Master(sentinels) => sentinels.connect_to_master(timeouts, setup).await,
            }
        })
    }

    fn is_still_master<'a>(&'a self, address: &'a str) -> Boxed<'a, bool> {
        Box::pin(async move {
            match self {
                Self::Node(_) => true,
                Self::Master(sentinels) => sentinels.is_still_master(address).await,
            }
        })
    }

    fn speaks_tls(&self) -> bool {
        match self {
            Self::Node(client) => {
                matches!(client.get_connection_info().addr(), ConnectionAddr::TcpTls { .. })
            }
            Self::Master(sentinels) => sentinels.links.iter().any(Link::speaks_tls),
        }
    }
}

/// Opens a connection, loads the scripts and subscribes to the channel.
async fn open(client: &Client, timeouts: Timeouts, setup: &Arc<Setup>) -> Result<Opened, Failure> {
    // Messages need the third version of the protocol, which a server before Redis 6 does not know.
    let connection = match connect(client, timeouts, ProtocolVersion::RESP3, setup).await {
        Err(error) if !error.is_io_error() && error.code() != Some("WRONGPASS") => {
            connect(client, timeouts, ProtocolVersion::RESP2, setup).await
        }
        connected => connected,
    }
    .map_err(Failure::Unreachable)?;

    let scripts = setup.scripts();
    let (mut loading, mut subscribing) = (connection.clone(), connection.clone());
    let load = async {
        let mut commands = redis::pipe();
        scripts.iter().for_each(|script| {
            commands.add_command(script.load()).ignore();
        });
        if scripts.is_empty() { Ok(()) } else { commands.query_async(&mut loading).await }
    };
    let subscribe = async {
        match setup.channel() {
            Some(channel) => subscribing.subscribe(channel).await,
            None => Ok(()),
        }
    };
    let both = async { tokio::join!(load, subscribe) };
    let (loaded, subscribed) = tokio::time::timeout(timeouts.response, both)
        .await
        .map_err(|_| Failure::NoAnswer(timeouts.response))?;
    for outcome in [loaded, subscribed] {
        match outcome {
            Err(error) if error.is_io_error() => return Err(Failure::Unreachable(error)),
            // Without these rights, scripts are sent when they are called, and messages do not come.
            Err(error) => tracing::debug!(%error, "redis: a connection is not prepared in full"),
            Ok(()) => {}
        }
    }
    let address = client.get_connection_info().addr().to_string();
    Ok(Opened { connection, address })
}

async fn connect(
    client: &Client,
    timeouts: Timeouts,
    protocol: ProtocolVersion,
    setup: &Arc<Setup>,
) -> Result<MultiplexedConnection, RedisError> {
    let info = client.get_connection_info();
    let login = info.redis_settings().clone().set_protocol(protocol);
    let client = Client::open(info.clone().set_redis_settings(login))?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(timeouts.connect))
        // One timer a request is enough: the link's.
        .set_response_timeout(None)
        .set_pipeline_buffer_size(1024);
    let config = match protocol {
        ProtocolVersion::RESP3 => {
            let setup = Arc::downgrade(setup);
            config.set_push_sender(move |push: PushInfo| {
                setup.upgrade().map(|setup| setup.hear(&push)).ok_or(())
            })
        }
        _ => config,
    };
    client.get_multiplexed_async_connection_with_config(&config).await
}

impl Sentinels {
    /// Queries all sentinels at once and uses the first whose master confirms its role: a sentinel that was cut off names an
    /// old master.
    async fn connect_to_master(
        &self,
        timeouts: Timeouts,
        setup: &Arc<Setup>,
    ) -> Result<Opened, Failure> {
        let mut failure = Failure::NoMaster(self.master.clone());
        let mut tried = HashSet::new();
        let mut asking = self.ask_all();
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
            match self.connect_if_master(address, timeouts, setup).await {
                Ok(connection) => return Ok(connection),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn ask_all(&self) -> JoinSet<Result<Option<ConnectionAddr>, Failure>> {
        let mut asking = JoinSet::new();
        for link in &self.links {
            asking.spawn(master_of(link.clone(), self.master.clone()));
        }
        asking
    }

    async fn is_still_master(&self, address: &str) -> bool {
        let mut asking = self.ask_all();
        while let Some(answer) = asking.join_next().await {
            if let Ok(Ok(Some(master))) = answer {
                return master.to_string() == address;
            }
        }
        // Without sentinels there is no failover either.
        true
    }

    async fn connect_if_master(
        &self,
        address: ConnectionAddr,
        timeouts: Timeouts,
        setup: &Arc<Setup>,
    ) -> Result<Opened, Failure> {
        let info = address.into_connection_info().map_err(Failure::Unreachable)?;
        let info = prompt(info.set_redis_settings(self.login.clone()));
        let client = self.certificates.client(info).map_err(Failure::Unreachable)?;
        let mut opened = open(&client, timeouts, setup).await?;
        let command = redis::cmd("ROLE");
        let role = command.query_async::<Value>(&mut opened.connection);
        match within(timeouts.response, role).await {
            Ok(Value::Array(role)) if is_text(role.first(), b"master") => Ok(opened),
            // The server does not allow `ROLE`; trust the sentinel's answer.
            Err(Failure::Refused(error)) if error.code() == Some("NOPERM") => Ok(opened),
            Ok(_) => Err(Failure::NotMaster),
            Err(failure) => Err(failure),
        }
    }
}

/// Asks a sentinel for the address of the master, if it knows it.
async fn master_of(sentinel: Link, master: String) -> Result<Option<ConnectionAddr>, Failure> {
    let mut command = redis::cmd("SENTINEL");
    command.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
    let answer = sentinel.query(&command).await?;
    let address: Option<(String, u16)> =
        redis::from_redis_value(answer).map_err(|error| Failure::Refused(error.into()))?;
    let Some((host, port)) = address else { return Ok(None) };
    // Masters speak TLS if the sentinels do.
    Ok(Some(if sentinel.speaks_tls() {
        ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host, port)
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

/// Turns Nagle's algorithm off: a call is one small packet each way, and must not wait for the next.
pub(crate) fn prompt(info: ConnectionInfo) -> ConnectionInfo {
    info.set_tcp_settings(TcpSettings::default().set_nodelay(true))
}

/// The authority that signs servers' certificates, and our own certificate.
#[derive(Clone, Default)]
pub(crate) struct Certificates {
    #[cfg(feature = "tls")]
    pub(crate) authority: Option<Vec<u8>>,
    /// A chain and its key.
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
    fn for_redis(&self) -> Option<redis::TlsCertificates> {
        if self.authority.is_none() && self.own.is_none() {
            return None;
        }
        let client_tls = self.own.as_ref().map(|(certificate, key)| redis::ClientTlsConfig {
            client_cert: certificate.clone(),
            client_key: key.expose().to_vec(),
        });
        Some(redis::TlsCertificates { client_tls, root_cert: self.authority.clone() })
    }

    /// # Errors
    ///
    /// If a PEM text contains no certificate or one that cannot be read, or a key is not that of its certificate. redis
    /// accepts an empty text, and trusts no server then.
    #[cfg(feature = "tls")]
    #[allow(clippy::disallowed_methods, reason = "the key is compared with its certificate")]
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        use rustls::{
            RootCertStore,
            pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        };
        let chain = |pem: &[u8], name| {
            let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
            let chain = chain.ok().filter(|chain| !chain.is_empty());
            let remedy = "give at least one certificate in PEM, with its BEGIN and END lines";
            chain.ok_or_else(|| ConfigError::without_value(name, remedy))
        };
        if let Some(authority) = &self.authority {
            const NAME: &str = "ca_certificate";
            let mut roots = RootCertStore::empty();
            for certificate in chain(authority, NAME)? {
                roots.add(certificate).map_err(|_| {
                    let remedy = "give the certificate of an authority (X.509, version 3)";
                    ConfigError::without_value(NAME, remedy)
                })?;
            }
        }
        if let Some((certificates, key)) = &self.own {
            const NAME: &str = "client_certificate";
            let chain = chain(certificates, NAME)?;
            let refuse = |remedy: &'static str| move |_| ConfigError::without_value(NAME, remedy);
            let key = PrivateKeyDer::from_pem_slice(key.expose()).map_err(|_| {
                let remedy =
                    "give the private key in PEM, unencrypted, with its BEGIN and END lines";
                ConfigError::without_value(NAME, remedy)
            })?;
            let provider = rustls::crypto::aws_lc_rs::default_provider();
            rustls::sign::CertifiedKey::from_der(chain, key, &provider)
                .map_err(refuse("give the private key of the first certificate of the chain"))?;
        }
        Ok(())
    }

    /// # Errors
    ///
    /// If there are certificates, which a connection without TLS would not use.
    #[cfg(feature = "tls")]
    pub(crate) fn check_unused(&self) -> Result<(), ConfigError> {
        let remedy = "use a rediss:// URL: without TLS no certificate is checked or sent";
        let unused = [
            ("ca_certificate", self.authority.is_some()),
            ("client_certificate", self.own.is_some()),
        ];
        match unused.into_iter().find(|(_, is_set)| *is_set) {
            Some((name, _)) => Err(ConfigError::without_value(name, remedy)),
            None => Ok(()),
        }
    }
}
