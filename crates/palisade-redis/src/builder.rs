use std::{fmt, time::Duration};

use palisade_core::{ConfigError, Secret};
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};

use crate::{
    Redis,
    client::{self, key_part},
    link::Link,
    topology::{self, Certificates, Sentinels, Timeouts, Topology},
};

/// Collects the settings of a [`Redis`].
///
/// | setting | default |
/// | --- | --- |
/// | [`prefix`](Self::prefix) | `palisade` |
/// | [`connect_timeout`](Self::connect_timeout) | 200 ms |
/// | [`response_timeout`](Self::response_timeout) | 50 ms |
/// | [`username`](Self::username), [`password`](Self::password), [`database`](Self::database) | as the URL says |
#[must_use]
pub struct RedisBuilder {
    place: Place,
    prefix: String,
    timeouts: Timeouts,
    username: Option<String>,
    password: Option<Secret>,
    database: Option<u32>,
    certificates: Certificates,
}

enum Place {
    Standalone(String),
    Sentinel {
        urls: Vec<String>,
        master: String,
    },
    #[cfg(feature = "cluster")]
    Cluster(Vec<String>),
}

impl RedisBuilder {
    pub(crate) fn standalone(url: String) -> Self {
        Self::at(Place::Standalone(url))
    }

    pub(crate) fn sentinel(urls: Vec<String>, master: String) -> Self {
        Self::at(Place::Sentinel { urls, master })
    }

    #[cfg(feature = "cluster")]
    pub(crate) fn cluster(urls: Vec<String>) -> Self {
        Self::at(Place::Cluster(urls))
    }

    fn at(place: Place) -> Self {
        Self {
            place,
            prefix: "palisade".to_owned(),
            timeouts: Timeouts {
                connect: Duration::from_millis(200),
                response: Duration::from_millis(50),
            },
            username: None,
            password: None,
            database: None,
            certificates: Certificates::default(),
        }
    }

    /// What the names of all keys begin with, so that applications can share a server. Default `palisade`.
    ///
    /// Machines with the same prefix share what they count and remember.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How long a call waits for the server's answer. Default 50 ms.
    ///
    /// A server within the same data centre answers in less than a millisecond.
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.response = timeout;
        self
    }

    /// How long a call waits for a connection, where there is none. Default 200 ms.
    ///
    /// No call ever takes longer than this and the [response time-out](Self::response_timeout) together.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.connect = timeout;
        self
    }

    /// Who to be on the server, in place of the URL's user.
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self
    }

    /// The password on the server, in place of the URL's.
    pub fn password(mut self, password: impl Into<Secret>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// The number of the database, in place of the URL's. A cluster has number 0 only.
    pub fn database(mut self, number: u32) -> Self {
        self.database = Some(number);
        self
    }

    /// Trusts servers whose certificate this authority signed, and no others: a certificate in PEM. Default: the authorities
    /// of the web.
    ///
    /// ```no_run
    /// # use palisade_redis::Redis;
    /// let redis = Redis::builder("rediss://redis.internal:6379")
    ///     .ca_certificate(std::fs::read("internal-ca.pem")?)
    ///     .build()?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "tls")]
    pub fn ca_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.certificates.authority = Some(pem.into());
        self
    }

    /// Shows this certificate to servers that ask for one: a chain and its key, both in PEM.
    #[cfg(feature = "tls")]
    pub fn client_certificate(mut self, pem: impl Into<Vec<u8>>, key: impl Into<Secret>) -> Self {
        self.certificates.own = Some((pem.into(), key.into()));
        self
    }

    /// Builds it. It connects when it is first asked, on the tokio runtime that asks, which must have
    /// I/O and time enabled. It need not be built on one.
    ///
    /// # Errors
    ///
    /// - If a URL is none, or asks for what is not compiled in or not secure. The error never contains the URL.
    /// - If a time-out is nothing, or the prefix is empty.
    /// - If a certificate or a key cannot be read.
    pub fn build(self) -> Result<Redis, ConfigError> {
        if self.prefix.is_empty() {
            let remedy =
                "choose a prefix that tells this application's keys from others', such as its name";
            return Err(ConfigError::without_value("prefix", remedy));
        }
        for (name, timeout) in [
            ("connect_timeout", self.timeouts.connect),
            ("response_timeout", self.timeouts.response),
        ] {
            if timeout.is_zero() {
                let remedy = "choose a time in which a server can answer, such as 50 milliseconds";
                return Err(ConfigError::new(name, format_args!("{timeout:?}"), remedy));
            }
        }
        let (topology, name, addresses) = self.topology()?;
        Ok(Redis::new(client::Inner {
            link: Link::new(topology, self.timeouts),
            prefix: key_part(&self.prefix),
            topology: name,
            addresses,
            timeouts: self.timeouts,
        }))
    }

    fn topology(&self) -> Result<(Topology, &'static str, Vec<String>), ConfigError> {
        match &self.place {
            Place::Standalone(url) => {
                let info = parsed(url)?;
                let addresses = vec![info.addr().to_string()];
                let login = self.login(info.redis_settings().clone())?;
                let client = self.client(info.set_redis_settings(login))?;
                Ok((Topology::Standalone(client), "standalone", addresses))
            }
            Place::Sentinel { urls, master } => {
                if master.is_empty() {
                    let remedy =
                        "name the master as the sentinels' configuration does, such as `mymaster`";
                    return Err(ConfigError::without_value("master", remedy));
                }
                let infos = all_parsed(urls)?;
                let addresses = infos.iter().map(|info| info.addr().to_string()).collect();
                let asked = infos.into_iter().map(|info| self.client(info));
                let sentinels = Sentinels {
                    asked: asked.collect::<Result<_, _>>()?,
                    master: master.clone(),
                    login: self.login(RedisConnectionInfo::default())?,
                    certificates: self.certificates.clone(),
                };
                Ok((Topology::Sentinel(sentinels), "sentinel", addresses))
            }
            #[cfg(feature = "cluster")]
            Place::Cluster(urls) => {
                if self.database.is_some_and(|number| number != 0) {
                    let remedy =
                        "a cluster has database 0 only: choose a prefix of its own instead";
                    let number = self.database.unwrap_or_default();
                    return Err(ConfigError::new("database", number, remedy));
                }
                let mut nodes = Vec::new();
                for info in all_parsed(urls)? {
                    let login = self.login(info.redis_settings().clone())?;
                    // What is wrong with a certificate comes out here.
                    let client = self.client(info.set_redis_settings(login))?;
                    nodes.push(client.get_connection_info().clone());
                }
                let addresses = nodes.iter().map(|info| info.addr().to_string()).collect();
                let client = Box::new(self.cluster_client(nodes)?);
                Ok((Topology::Cluster(client), "cluster", addresses))
            }
        }
    }

    /// What is said on connecting.
    #[allow(clippy::disallowed_methods, reason = "the password goes to the server")]
    fn login(&self, mut login: RedisConnectionInfo) -> Result<RedisConnectionInfo, ConfigError> {
        if let Some(username) = &self.username {
            login = login.set_username(username);
        }
        if let Some(password) = &self.password {
            let password = std::str::from_utf8(password.expose())
                .map_err(|_| ConfigError::without_value("password", "choose one that is UTF-8"))?;
            login = login.set_password(password);
        }
        if let Some(number) = self.database {
            login = login.set_db(number.into());
        }
        Ok(login)
    }

    fn client(&self, info: ConnectionInfo) -> Result<redis::Client, ConfigError> {
        #[cfg(feature = "tls")]
        if let ConnectionAddr::TcpTls { .. } = info.addr() {
            provide_cryptography();
        }
        let client = self.certificates.client(topology::prompt(info));
        client.map_err(|_| unreadable_certificate())
    }

    #[cfg(feature = "cluster")]
    fn cluster_client(
        &self,
        nodes: Vec<ConnectionInfo>,
    ) -> Result<redis::cluster::ClusterClient, ConfigError> {
        let builder = redis::cluster::ClusterClientBuilder::new(nodes)
            .connection_timeout(self.timeouts.connect)
            .response_timeout(self.timeouts.response)
            // One timer a request is enough: the link's.
            .overall_response_timeout(None)
            .tcp_settings(redis::io::tcp::TcpSettings::default().set_nodelay(true))
            // Enough to follow a slot that moves. Each is over within the response time-out.
            .retries(3)
            .min_retry_wait(1)
            .max_retry_wait(10);
        #[cfg(feature = "tls")]
        let builder = match self.certificates.for_redis() {
            Some(certificates) => builder.certs(certificates),
            None => builder,
        };
        builder.build().map_err(|_| {
            let remedy = "give all nodes the same scheme, user, password and database 0";
            ConfigError::without_value("url", remedy)
        })
    }
}

/// redis takes rustls' provider of the process, and rustls panics where there is none and the build has two.
#[cfg(feature = "tls")]
fn provide_cryptography() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error means that somebody else was faster, which is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
}

fn unreadable_certificate() -> ConfigError {
    let remedy = "give certificates and their key in PEM, with their BEGIN and END lines";
    ConfigError::without_value("certificate", remedy)
}

fn all_parsed(urls: &[String]) -> Result<Vec<ConnectionInfo>, ConfigError> {
    if urls.is_empty() {
        return Err(ConfigError::without_value("url", "name at least one node"));
    }
    urls.iter().map(|url| parsed(url)).collect()
}

/// # Errors
///
/// If it is no URL, without repeating it: a password may be in it.
fn parsed(url: &str) -> Result<ConnectionInfo, ConfigError> {
    let refuse = |remedy: &'static str| Err(ConfigError::without_value("url", remedy));
    if !cfg!(feature = "tls") && (url.starts_with("rediss:") || url.starts_with("valkeys:")) {
        return refuse("TLS needs the feature `tls` of palisade-redis (`redis-tls` of palisade)");
    }
    let Ok(info) = url.into_connection_info() else {
        return refuse(
            "write redis://user:password@host:6379, and percent-encode what is special in a password, or give it to \
             `password`",
        );
    };
    match info.addr() {
        ConnectionAddr::TcpTls { insecure: true, .. } => refuse(
            "TLS without a check of the certificate is no protection: leave #insecure off, and name your CA",
        ),
        _ => Ok(info),
    }
}

impl fmt::Debug for RedisBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // no URL, because a password may be in it
        f.debug_struct("RedisBuilder")
            .field("prefix", &self.prefix)
            .field("connect_timeout", &self.timeouts.connect)
            .field("response_timeout", &self.timeouts.response)
            .finish_non_exhaustive()
    }
}
