//! Connections of HTTP clients, with TLS where it is asked for.

use std::io;
use std::path::Path;
use std::sync::Arc;

use hyper::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// Whether the address of an API is of `https://`; `None` of what is no such address.
pub fn needs_tls(url: &str) -> Option<bool> {
    let uri: Uri = url.parse().ok()?;
    let is_whole = uri.host().is_some_and(|host| !host.is_empty()) && uri.query().is_none();
    match uri.scheme_str().filter(|_| is_whole)? {
        "http" => Some(false),
        "https" => Some(true),
        _ => None,
    }
}

/// Connects to `http://`, and with `tls` to `https://` too, by the certificates that the system trusts. Slim images have none,
/// and without TLS none are needed.
pub fn connector(tls: bool) -> io::Result<HttpsConnector<HttpConnector>> {
    let builder = if tls {
        let provider = rustls::crypto::ring::default_provider();
        HttpsConnectorBuilder::new().with_provider_and_native_roots(provider)?
    } else {
        HttpsConnectorBuilder::new().with_tls_config(trusting(RootCertStore::empty())?)
    };
    Ok(builder.https_or_http().enable_http1().build())
}

/// Connects to `https://` alone, by the certificates of a file in PEM and by no others.
pub fn connector_trusting(authorities: &Path) -> io::Result<HttpsConnector<HttpConnector>> {
    let read = CertificateDer::pem_file_iter(authorities).and_then(Iterator::collect);
    let certificates: Vec<_> = read.map_err(io::Error::other)?;
    let mut roots = RootCertStore::empty();
    if roots.add_parsable_certificates(certificates).0 == 0 {
        return Err(io::Error::other("it holds no certificate in PEM"));
    }
    let builder = HttpsConnectorBuilder::new().with_tls_config(trusting(roots)?);
    Ok(builder.https_only().enable_http1().build())
}

fn trusting(roots: RootCertStore) -> io::Result<ClientConfig> {
    let provider = rustls::crypto::ring::default_provider();
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
