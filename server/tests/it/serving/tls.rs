//! Encrypted connections to PostgreSQL. That of the tests is built without TLS, so a door before it speaks TLS for it, as
//! PostgreSQL does: it answers the request for TLS, shakes hands, and passes on what is said after that.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use reqwest::Url;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::cli::agentfs;
use crate::support::database::Database;

/// The message by which a client asks for TLS: its length, and a number that is no version of the protocol.
const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// A database behind a door that opens to TLS alone, with a certificate for `localhost`.
struct Encrypted {
    port: u16,
    database: Database,
    /// The certificate of the authority that signed the door's.
    authority: NamedTempFile,
}

impl Encrypted {
    async fn start() -> Self {
        let authority_key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = authority.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let own = own.signed_by(&key, &issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![own.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        let file = NamedTempFile::new().unwrap();
        std::fs::write(file.path(), root.pem()).unwrap();

        let database = Database::empty().await;
        let url = Url::parse(&database.url).unwrap();
        let behind: SocketAddr = format!("127.0.0.1:{}", url.port().unwrap()).parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(open(client, acceptor.clone(), behind));
            }
        });
        Self { port, database, authority: file }
    }

    /// The database's URL at the door, with these parameters.
    fn url(&self, host: &str, parameters: &str) -> String {
        let mut url = Url::parse(&self.database.url).unwrap();
        url.set_host(Some(host)).unwrap();
        url.set_port(Some(self.port)).unwrap();
        url.set_query(Some(parameters));
        url.into()
    }
}

async fn open(mut client: TcpStream, acceptor: TlsAcceptor, behind: SocketAddr) {
    let mut asked = [0; TLS_REQUEST.len()];
    client.read_exact(&mut asked).await.unwrap();
    if asked != TLS_REQUEST {
        return;
    }
    client.write_all(b"S").await.unwrap();
    // A client that trusts no stranger hangs up here.
    if let Ok(mut client) = acceptor.accept(client).await {
        let mut postgres = TcpStream::connect(behind).await.unwrap();
        copy_bidirectional(&mut client, &mut postgres).await.ok();
    }
}

/// Exit code and words of `migrate`.
async fn migrate(url: String, variables: &[(&'static str, String)]) -> (Option<i32>, String) {
    let mut variables = variables.to_vec();
    variables.push(("DATABASE_URL", url));
    let said = tokio::task::spawn_blocking(move || {
        let variables: Vec<_> = variables.iter().map(|(k, v)| (*k, v.as_str())).collect();
        agentfs(&["migrate"], &variables)
    });
    let said = said.await.unwrap();
    (said.code, said.err)
}

#[tokio::test]
async fn each_sslmode_checks_what_it_promises() {
    let encrypted = Encrypted::start().await;
    let authority = encrypted.authority.path().display().to_string();
    let trusting = format!("sslmode=verify-full&sslrootcert={authority}");
    for parameters in ["sslmode=prefer", "sslmode=require", &trusting, ""] {
        let (code, said) = migrate(encrypted.url("localhost", parameters), &[]).await;
        assert_eq!(code, Some(0), "{parameters}: {said}");
    }
    // As pods are given it, and as pg_dump reads it as well.
    let variable = [("PGSSLROOTCERT", authority.clone())];
    let full = encrypted.url("localhost", "sslmode=verify-full");
    assert_eq!(migrate(full.clone(), &variable).await.0, Some(0));

    let (code, said) = migrate(full, &[]).await;
    assert_eq!(code, Some(75));
    assert!(
        said.contains("its certificate is not trusted") && said.contains("sslrootcert"),
        "{said}"
    );
    // The certificate is for localhost.
    let (_, said) = migrate(encrypted.url("127.0.0.1", "sslmode=verify-full"), &variable).await;
    assert!(said.contains("its certificate is not trusted"), "{said}");
    let (code, said) = migrate(encrypted.url("127.0.0.1", "sslmode=verify-ca"), &variable).await;
    assert_eq!(code, Some(0), "{said}");
    // Who speaks plainly is not let in by the door.
    let (code, _) = migrate(encrypted.url("localhost", "sslmode=disable"), &[]).await;
    assert_eq!(code, Some(75));
}

#[tokio::test]
async fn a_database_without_tls_is_told_as_such_where_tls_is_asked_for() {
    let database = Database::empty().await;
    for mode in ["require", "verify-ca", "verify-full"] {
        let (code, said) = migrate(format!("{}?sslmode={mode}", database.url), &[]).await;
        assert_eq!(code, Some(75));
        assert!(
            said.contains("server does not support TLS") && said.contains("turn ssl on"),
            "{said}"
        );
    }
    let (code, said) = migrate(format!("{}?sslmode=prefer", database.url), &[]).await;
    assert_eq!(code, Some(0), "{said}");
}
