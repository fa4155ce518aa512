//! TLS to PostgreSQL: certificates and names are always verified, against the public roots, Amazon RDS's
//! roots, and those that `sslrootcert` adds.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::Roots;

/// Amazon RDS's certificate authorities of all regions. RDS Proxy and Aurora Serverless use public ones.
const RDS_ROOTS: &[u8] = include_bytes!("../../certs/rds-global-bundle.pem");

/// The connector that encrypts connections.
///
/// # Errors
/// When the file of `sslrootcert` cannot be read, or has no certificate.
pub fn connector(roots: &Roots) -> Result<MakeRustlsConnect, String> {
    let mut store = RootCertStore::empty();
    store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    store.add_parsable_certificates(CertificateDer::pem_slice_iter(RDS_ROOTS).filter_map(Result::ok));
    match roots {
        Roots::BuiltIn => {}
        Roots::System => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Roots::File(file) => add(&mut store, file)?,
    }
    let provider = rustls::crypto::ring::default_provider();
    let config = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .expect("ring speaks the default versions")
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn add(store: &mut RootCertStore, file: &Path) -> Result<(), String> {
    let unusable = |problem: &str| format!("its sslrootcert {} {problem}", file.display());
    let pem = std::fs::read(file).map_err(|error| unusable(&format!("cannot be read: {error}")))?;
    let (added, _) =
        store.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok));
    if added == 0 { Err(unusable("holds no certificate: expected PEM")) } else { Ok(()) }
}

/// What is wrong with the TLS connection, and what to do; `None` for other errors.
///
/// Another attempt would fail in the same way, and no connection is made without TLS.
pub fn complaint(error: &tokio_postgres::Error) -> Option<String> {
    let source = std::error::Error::source(error)?;
    if error.to_string().contains("TLS") && source.to_string() == "server does not support TLS" {
        return Some(
            "it offers no TLS, and nothing is sent to it without. If nobody can listen on the way there, sslmode=disable in \
             DATABASE_URL leaves TLS out"
                .to_owned(),
        );
    }
    let error = source.downcast_ref::<std::io::Error>()?.get_ref()?.downcast_ref::<rustls::Error>()?;
    let rustls::Error::InvalidCertificate(problem) = error else { return None };
    Some(match problem {
        CertificateError::UnknownIssuer => {
            "the authority that issued its certificate is not known. sslrootcert=FILE in DATABASE_URL (or PGSSLROOTCERT) adds \
             one in PEM; for Amazon RDS in a region of its own partition, FILE is the bundle of the region from \
             https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.SSL.html"
                .to_owned()
        }
        other => format!("its certificate is not valid: {other}"),
    })
}
