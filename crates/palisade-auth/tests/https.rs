//! Keys over https, from a server whose certificate a private authority has signed; directly and through a proxy.
#![cfg(feature = "jwks-http")]

use std::{
    convert::Infallible,
    env,
    net::{Ipv4Addr, SocketAddr},
    process::Command,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use palisade_auth::{HttpFetch, HttpFetchBuilder, Jwks, StartUp};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

/// A private certificate authority.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    fn acceptor(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// An issuer with https on a free loopback port. It runs as long as the test's runtime.
struct Issuer {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<HeaderMap>>>,
}

impl Issuer {
    async fn start(acceptor: TlsAcceptor) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::<Mutex<Vec<HeaderMap>>>::default();
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
                tokio::spawn(async move {
                    let Ok(tls) = acceptor.accept(socket).await else { return };
                    let service = service_fn(move |request: Request<Incoming>| {
                        seen.lock().unwrap().push(request.headers().clone());
                        async { Ok::<_, Infallible>(Response::new(Full::new(KEYS.clone()))) }
                    });
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http.serve_connection(TokioIo::new(tls), service).await;
                });
            }
        });
        Self { address, requests }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}/keys", self.address.port())
    }

    async fn load_with(&self, client: HttpFetchBuilder) -> Result<(), String> {
        let keys = Jwks::url(self.url()).fetch(client.build().unwrap()).build().unwrap();
        keys.start(StartUp::Fail).await.map_err(|error| format!("{error:?}"))
    }

    fn requests(&self) -> Vec<HeaderMap> {
        self.requests.lock().unwrap().clone()
    }
}

/// The key is that of RFC 8037, appendix A.2.
static KEYS: Bytes = Bytes::from_static(
    br#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#,
);

/// A proxy that connects to any address and records the head of each `CONNECT`. With a status other than 200 it
/// connects to none.
async fn start_proxy(status: u16) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let heads = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let target = head.split(' ').nth(1).unwrap().to_owned();
                seen.lock().unwrap().push(head);
                client.write_all(format!("HTTP/1.1 {status} -\r\n\r\n").as_bytes()).await.unwrap();
                if status == 200 {
                    let mut issuer = TcpStream::connect(target).await.unwrap();
                    let _ = copy_bidirectional(&mut client, &mut issuer).await;
                }
            });
        }
    });
    (url, heads)
}

#[tokio::test]
async fn trusts_an_added_authority() {
    let authority = Authority::new();
    let issuer = Issuer::start(authority.acceptor("localhost")).await;
    let other = Authority::new().pem();
    for certificates in [
        authority.pem().into_bytes(),
        authority.0.der().to_vec(),
        format!("{other}\n{}", authority.pem()).into_bytes(),
    ] {
        let client = HttpFetch::builder().add_root_certificates(certificates);
        issuer.load_with(client).await.unwrap();
    }
    assert_eq!(issuer.requests().len(), 3);
}

#[tokio::test]
async fn rejects_unknown_authorities_and_wrong_names() {
    let authority = Authority::new();
    let issuer = Issuer::start(authority.acceptor("localhost")).await;
    let error = issuer.load_with(HttpFetch::builder()).await.unwrap_err();
    assert!(error.contains("UnknownIssuer"), "{error}");
    let client = HttpFetch::builder().add_root_certificates(Authority::new().pem());
    assert!(issuer.load_with(client).await.is_err());

    let elsewhere = Issuer::start(authority.acceptor("issuer.example")).await;
    let client = HttpFetch::builder().add_root_certificates(authority.pem());
    let error = elsewhere.load_with(client).await.unwrap_err();
    assert!(error.contains("NotValidForName"), "{error}");
    assert!(issuer.requests().is_empty() && elsewhere.requests().is_empty());
}

#[tokio::test]
async fn connects_through_a_proxy() {
    let authority = Authority::new();
    let issuer = Issuer::start(authority.acceptor("localhost")).await;
    let (proxy, heads) = start_proxy(200).await;
    let secret = HeaderValue::from_static("for the issuer only");
    let client = HttpFetch::builder()
        .add_root_certificates(authority.pem())
        .proxy(proxy)
        .proxy_credentials("palisade", "p:w")
        .header(HeaderName::from_static("x-gateway-key"), secret.clone());
    issuer.load_with(client).await.unwrap();

    let heads = heads.lock().unwrap();
    let [head] = heads.as_slice() else { panic!("{heads:?}") };
    assert!(head.starts_with(&format!("CONNECT localhost:{} ", issuer.address.port())), "{head}");
    let head = head.to_lowercase();
    assert!(head.contains("proxy-authorization: basic cgfsaxnhzgu6cdp3\r\n"), "{head}");
    assert!(!head.contains("x-gateway-key"));
    let requests = issuer.requests();
    assert_eq!(requests[0]["x-gateway-key"], secret);
    assert!(!requests[0].contains_key(header::PROXY_AUTHORIZATION));
}

#[tokio::test]
async fn a_proxy_that_refuses_is_an_error() {
    let authority = Authority::new();
    let issuer = Issuer::start(authority.acceptor("localhost")).await;
    for status in [407, 403, 502] {
        let (proxy, _) = start_proxy(status).await;
        let client = HttpFetch::builder().add_root_certificates(authority.pem()).proxy(proxy);
        assert!(issuer.load_with(client).await.is_err(), "{status}");
    }
    assert!(issuer.requests().is_empty());
}

#[tokio::test]
async fn sends_request_headers() {
    let authority = Authority::new();
    let issuer = Issuer::start(authority.acceptor("localhost")).await;
    let client = HttpFetch::builder()
        .add_root_certificates(authority.pem())
        .header(header::AUTHORIZATION, HeaderValue::from_static("Bearer gateway"))
        .header(header::USER_AGENT, HeaderValue::from_static("orders/1"));
    issuer.load_with(client).await.unwrap();
    let requests = issuer.requests();
    assert_eq!(requests[0][header::AUTHORIZATION], "Bearer gateway");
    assert_eq!(requests[0][header::USER_AGENT], "orders/1");
    assert!(requests[0][header::ACCEPT].to_str().unwrap().contains("jwk-set+json"));
}

/// The platform's store is read from the environment, so the client runs in a process of its own.
#[tokio::test]
async fn trusts_the_platforms_authorities() {
    let authority = Authority::new();
    let issuer = Issuer::start(authority.acceptor("localhost")).await;
    let file = env::temp_dir().join(format!("palisade-roots-{}.pem", issuer.address.port()));
    std::fs::write(&file, authority.pem()).unwrap();
    let url = issuer.url();
    let run = tokio::task::spawn_blocking({
        let file = file.clone();
        move || {
            let test = Command::new(env::current_exe().unwrap())
                .args(["--exact", "loads_keys_with_platform_roots", "--ignored"])
                .env("SSL_CERT_FILE", &file)
                .env("PALISADE_TEST_ISSUER", url)
                .output();
            test.unwrap()
        }
    });
    let output = run.await.unwrap();
    std::fs::remove_file(file).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(issuer.requests().len(), 1);
}

#[tokio::test]
#[ignore = "runs as a process of `trusts_the_platforms_authorities`"]
async fn loads_keys_with_platform_roots() {
    let url = env::var("PALISADE_TEST_ISSUER").unwrap();
    let client = HttpFetch::builder().platform_roots().build().unwrap();
    Jwks::url(url).fetch(client).build().unwrap().start(StartUp::Fail).await.unwrap();
}

#[test]
fn rejects_settings_that_cannot_work() {
    type Change = fn(HttpFetchBuilder) -> HttpFetchBuilder;
    let cases: [(&str, Change); 12] = [
        ("add_root_certificates", |client| client.add_root_certificates("")),
        ("add_root_certificates", |client| client.add_root_certificates("no PEM")),
        ("add_root_certificates", |client| client.add_root_certificates([0x30, 0x00])),
        ("proxy", |client| client.proxy("https://proxy.example:3128")),
        ("proxy", |client| client.proxy("socks5://proxy.example")),
        ("proxy", |client| client.proxy("proxy.example:3128")),
        ("proxy", |client| client.proxy("http://proxy.example/path")),
        ("proxy", |client| client.proxy("http://user:secret@proxy.example")),
        ("proxy_credentials", |client| client.proxy_credentials("user", "secret")),
        ("proxy_credentials", |client| {
            client.proxy("http://proxy.example").proxy_credentials("a:b", "secret")
        }),
        ("header", |client| client.header(header::HOST, HeaderValue::from_static("a"))),
        ("header", |client| {
            client.header(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"))
        }),
    ];
    for (setting, change) in cases {
        let builder = change(HttpFetch::builder());
        assert!(!format!("{builder:?}").contains("secret"));
        let error = builder.build().unwrap_err();
        assert_eq!(error.setting(), setting, "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
