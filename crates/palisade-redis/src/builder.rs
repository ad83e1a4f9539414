use std::{fmt, sync::Arc, time::Duration};

use palisade_core::{ConfigError, Secret};
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};

#[cfg(feature = "cluster")]
use crate::cluster::Cluster;
use crate::{
    Redis,
    client::{self, Route, key_part},
    link::{Link, Timeouts},
    setup::Setup,
    topology::{self, Certificates, Sentinels},
};

/// Collects the settings of a [`Redis`].
///
/// | setting | default |
/// | --- | --- |
/// | [`prefix`](Self::prefix) | `palisade` |
/// | [`connect_timeout`](Self::connect_timeout) | 1 s |
/// | [`response_timeout`](Self::response_timeout) | 500 ms |
/// | [`username`](Self::username), [`password`](Self::password), [`database`](Self::database) | those of the URL |
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
                connect: Duration::from_secs(1),
                response: Duration::from_millis(500),
            },
            username: None,
            password: None,
            database: None,
            certificates: Certificates::default(),
        }
    }

    /// Sets what the names of all keys begin with, so that applications can share a server. Default: `palisade`.
    ///
    /// Machines with the same prefix share what they count and remember.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets how long a call waits for the server's answer. Default: 500 ms.
    ///
    /// A server within the same data centre answers in less than a millisecond. A limit has a shorter time-out of its own
    /// for its decisions, and still uses an answer that comes later than that.
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.response = timeout;
        self
    }

    /// Sets how long a call waits for a connection to be opened. Default: 1 s.
    ///
    /// Opening takes two round trips for TCP and the greeting, with TLS two more, and one to load the scripts. No call ever
    /// takes longer than this and the [response time-out](Self::response_timeout) together.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.connect = timeout;
        self
    }

    /// Sets the user on the server, in place of the URL's.
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self
    }

    /// Sets the password on the server, in place of the URL's.
    pub fn password(mut self, password: impl Into<Secret>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Sets the number of the database, in place of the URL's. A cluster has number 0 only.
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

    /// Sends this certificate to servers that ask for one: a chain and its key, both in PEM.
    #[cfg(feature = "tls")]
    pub fn client_certificate(mut self, pem: impl Into<Vec<u8>>, key: impl Into<Secret>) -> Self {
        self.certificates.own = Some((pem.into(), key.into()));
        self
    }

    /// Builds it. It connects at the first call, or by [`Redis::ready`], on the tokio runtime of the caller, which must
    /// have I/O and time enabled. It need not be built on a runtime.
    ///
    /// # Errors
    ///
    /// - If a URL is not valid, or asks for a feature that is not compiled in or not secure. The error never contains the
    ///   URL.
    /// - If a time-out is zero, or the prefix is empty.
    /// - If a certificate or a key cannot be read, if the key is not that of the certificate, or if there is one and the
    ///   URL has no TLS.
    pub fn build(self) -> Result<Redis, ConfigError> {
        if self.prefix.is_empty() {
            let remedy =
                "choose a prefix that distinguishes the keys of this application, such as its name";
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
        let prefix = key_part(&self.prefix);
        let setup = Arc::new(Setup::new(format!("{prefix}:changes")));
        let (route, topology, addresses) = self.route(&setup)?;
        let timeouts = self.timeouts;
        Ok(Redis::new(client::Inner { route, setup, prefix, topology, addresses, timeouts }))
    }

    fn route(&self, setup: &Arc<Setup>) -> Result<(Route, &'static str, Vec<String>), ConfigError> {
        match &self.place {
            Place::Standalone(url) => {
                let info = parsed(url)?;
                let addresses = vec![info.addr().to_string()];
                let login = self.login(info.redis_settings().clone())?;
                let client = self.client(info.set_redis_settings(login))?;
                let place = topology::Place::Node(client);
                let link = Link::new(place, self.timeouts, Arc::clone(setup));
                Ok((Route::Link(link), "standalone", addresses))
            }
            Place::Sentinel { urls, master } => {
                if master.is_empty() {
                    let remedy =
                        "name the master as the sentinels' configuration does, such as `mymaster`";
                    return Err(ConfigError::without_value("master", remedy));
                }
                let infos = all_parsed(urls)?;
                let addresses = infos.iter().map(|info| info.addr().to_string()).collect();
                let link = |info| {
                    let place = topology::Place::Node(self.client(info)?);
                    Ok(Link::new(place, self.timeouts, Arc::default()))
                };
                let sentinels = Sentinels {
                    links: infos.into_iter().map(link).collect::<Result<_, ConfigError>>()?,
                    master: master.clone(),
                    login: self.login(RedisConnectionInfo::default())?,
                    certificates: self.certificates.clone(),
                };
                let place = topology::Place::Master(sentinels);
                let link = Link::new(place, self.timeouts, Arc::clone(setup));
                Ok((Route::Link(link), "sentinel", addresses))
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
                    // Errors of the certificates come out here.
                    let client = self.client(info.set_redis_settings(login))?;
                    nodes.push(client.get_connection_info().clone());
                }
                check_alike(&nodes)?;
                let addresses = nodes.iter().map(|info| info.addr().to_string()).collect();
                let certificates = self.certificates.clone();
                let cluster = Cluster::new(nodes, certificates, self.timeouts, Arc::clone(setup))
                    .map_err(|_| unreadable_certificate())?;
                Ok((Route::Cluster(cluster), "cluster", addresses))
            }
        }
    }

    /// The credentials of a connection.
    #[allow(clippy::disallowed_methods, reason = "the password goes to the server")]
    fn login(&self, mut login: RedisConnectionInfo) -> Result<RedisConnectionInfo, ConfigError> {
        if let Some(username) = &self.username {
            login = login.set_username(username);
        }
        if let Some(password) = &self.password {
            let password = std::str::from_utf8(password.expose()).map_err(|_| {
                ConfigError::without_value("password", "choose a password in UTF-8")
            })?;
            login = login.set_password(password);
        }
        if let Some(number) = self.database {
            login = login.set_db(number.into());
        }
        Ok(login)
    }

    fn client(&self, info: ConnectionInfo) -> Result<redis::Client, ConfigError> {
        #[cfg(feature = "tls")]
        match info.addr() {
            ConnectionAddr::TcpTls { .. } => {
                provide_cryptography();
                self.certificates.check()?;
            }
            _ => self.certificates.check_unused()?,
        }
        let client = self.certificates.client(topology::prompt(info));
        client.map_err(|_| unreadable_certificate())
    }
}

/// # Errors
///
/// If the nodes of a cluster have different schemes or credentials: nodes that are discovered later get those of the first.
#[cfg(feature = "cluster")]
fn check_alike(nodes: &[ConnectionInfo]) -> Result<(), ConfigError> {
    let kind = |node: &ConnectionInfo| {
        let settings = node.redis_settings();
        let tls = matches!(node.addr(), ConnectionAddr::TcpTls { .. });
        let text = |text: Option<&str>| text.map(str::to_owned);
        (tls, text(settings.username()), text(settings.password()), settings.db())
    };
    let is_alike = |node: &ConnectionInfo| {
        let (_, _, _, database) = kind(node);
        nodes.first().is_some_and(|first| kind(node) == kind(first)) && database == 0
    };
    if nodes.iter().all(is_alike) {
        return Ok(());
    }
    let remedy = "give all nodes the same scheme, user, password and database 0";
    Err(ConfigError::without_value("url", remedy))
}

/// redis takes rustls' provider of the process, and rustls panics if none is installed and the build has two.
#[cfg(feature = "tls")]
fn provide_cryptography() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error means that another thread was faster, which is as good.
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
/// If the URL is not valid. The error does not contain it: a password may be in it.
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
            "TLS without verification of the certificate does not protect: remove #insecure, and set your CA",
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
