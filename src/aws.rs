//! The HTTP client of the AWS SDKs.

use std::env;
use std::time::Duration;

use aws_sdk_sesv2::config::SharedHttpClient;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};

/// The five roots of AWS's endpoints. Reading a system's store of 140 certificates instead costs a start 3 ms.
/// <https://www.amazontrust.com/repository/>
const AMAZON_ROOTS: &[u8] = include_bytes!("../certs/amazon-trust-services.pem");

/// A client that closes connections when they have been idle for `max_idle`. It trusts the roots of `tls_context`.
pub fn http_client(max_idle: Duration) -> SharedHttpClient {
    aws_smithy_http_client::Builder::new()
        .pool_idle_timeout(max_idle)
        .tls_provider(PROVIDER)
        .tls_context(tls_context())
        .build_https()
}

/// A connector for single requests without a signature, such as the download at a pre-signed URL. It trusts the roots of
/// `tls_context`.
pub fn connector() -> Connector {
    Connector::builder().tls_provider(PROVIDER).tls_context(tls_context()).build()
}

const PROVIDER: Provider = Provider::Rustls(CryptoMode::Ring);

/// Amazon's roots, and the system's if `SSL_CERT_FILE` or `SSL_CERT_DIR` is set (for a proxy, or an emulator with TLS).
fn tls_context() -> TlsContext {
    let others = ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().any(|name| env::var_os(name).is_some());
    let roots = TrustStore::empty().with_native_roots(others).with_pem_certificate(AMAZON_ROOTS);
    TlsContext::builder().with_trust_store(roots).build().expect("the roots are certificates")
}

#[cfg(test)]
mod tests {
    use rustls::RootCertStore;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    #[test]
    fn the_roots_are_five_and_can_be_read() {
        let mut roots = RootCertStore::empty();
        let (added, ignored) = roots
            .add_parsable_certificates(CertificateDer::pem_slice_iter(AMAZON_ROOTS).filter_map(Result::ok));
        assert_eq!((added, ignored), (5, 0));
        let _ = http_client(Duration::from_secs(3));
    }
}
