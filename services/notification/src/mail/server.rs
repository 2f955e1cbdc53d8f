//! The mail server that the shop names, and how it is connected to. `lettre` opens connections itself too, but sets no
//! `TCP_NODELAY` on them: the end of each mail would wait up to 40 ms for the server's delayed acknowledgement.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use kit::secret::Secret;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{self, SMTP_PORT, SUBMISSION_PORT, SUBMISSIONS_PORT};
use percent_encoding::percent_decode_str;
use rustls_platform_verifier::ConfigVerifierExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use url::{Host, Url};

/// For each of the server's addresses.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The mail server, as its URL describes it.
pub(super) struct MailServer {
    host: String,
    port: u16,
    hello: ClientId,
    credentials: Option<Credentials>,
    pub(super) encryption: Encryption,
}

/// How connections are encrypted.
pub(super) enum Encryption {
    /// Not at all.
    None,
    /// TLS from the first byte on (RFC 8314, 3.3).
    Implicit(TlsConnector),
    /// TLS after the server's greeting (RFC 3207); unless `required`, servers without STARTTLS get plain text.
    StartTls { tls: TlsParameters, required: bool },
}

/// The URL of the mail server is invalid. Messages leave it out, because it may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum MailUrlError {
    /// Not a URL.
    #[error("the mail server's URL cannot be parsed")]
    Syntax(#[from] url::ParseError),
    /// Unknown scheme, or no host.
    #[error("the mail server's URL must be smtp://host or smtps://host")]
    Scheme,
    /// Unknown value of `tls`.
    #[error("the mail server's URL must have `tls=required`, `tls=opportunistic`, or no `tls`")]
    Tls,
    /// User or password is not UTF-8.
    #[error("user and password of the mail server's URL must be UTF-8, percent-encoded")]
    Credentials(#[from] std::str::Utf8Error),
    /// The certificate verifier could not be made.
    #[error("TLS cannot be set up")]
    Verifier(#[from] rustls::Error),
    /// The same, for STARTTLS.
    #[error("STARTTLS cannot be set up")]
    StartTls(#[from] smtp::Error),
}

/// The connection, TLS, EHLO or login failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("it cannot be reached")]
    Unreachable(#[from] io::Error),
    #[error(transparent)]
    Smtp(#[from] smtp::Error),
}

impl MailServer {
    /// Reads `smtp://user:password@host:port/hello?tls=required` as `lettre` does; all but the host may be absent.
    pub(super) fn from_url(url: &Secret) -> Result<Self, MailUrlError> {
        let url = Url::parse(url.expose())?;
        let host = match url.host().ok_or(MailUrlError::Scheme)? {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        let tls = url.query_pairs().find(|(name, _)| name == "tls").map(|(_, value)| value);
        let start_tls = |required| -> Result<Encryption, MailUrlError> {
            Ok(Encryption::StartTls { tls: TlsParameters::new(host.clone())?, required })
        };
        let (port, encryption) = match (url.scheme(), tls.as_deref()) {
            ("smtp", None) => (SMTP_PORT, Encryption::None),
            ("smtp", Some("required")) => (SUBMISSION_PORT, start_tls(true)?),
            ("smtp", Some("opportunistic")) => (SUBMISSION_PORT, start_tls(false)?),
            ("smtp", Some(_)) => return Err(MailUrlError::Tls),
            ("smtps", _) => {
                let config = ClientConfig::with_platform_verifier()?;
                (SUBMISSIONS_PORT, Encryption::Implicit(TlsConnector::from(Arc::new(config))))
            }
            _ => return Err(MailUrlError::Scheme),
        };
        let decoded = |text| percent_decode_str(text).decode_utf8().map(String::from);
        let credentials = match url.password() {
            Some(password) => Some(Credentials::new(decoded(url.username())?, decoded(password)?)),
            None => None,
        };
        let hello = match url.path().trim_matches('/') {
            "" => ClientId::default(),
            name => ClientId::Domain(name.to_owned()),
        };
        Ok(Self { port: url.port().unwrap_or(port), host, hello, credentials, encryption })
    }

    /// Connects, encrypts and logs in.
    pub(super) async fn connect(&self) -> Result<AsyncSmtpConnection, ConnectError> {
        let stream = self.dial().await?;
        let stream: Box<dyn AsyncTokioStream> = match &self.encryption {
            Encryption::Implicit(tls) => {
                let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
                Box::new(Encrypted(tls.connect(name, stream).await?))
            }
            Encryption::None | Encryption::StartTls { .. } => Box::new(stream),
        };
        let mut connection =
            AsyncSmtpConnection::connect_with_transport(stream, &self.hello).await?;
        if let Encryption::StartTls { tls, required } = &self.encryption
            && (*required || connection.can_starttls())
        {
            connection.starttls(tls.clone(), &self.hello).await?;
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await?;
        }
        Ok(connection)
    }

    /// Opens a TCP connection to the first address that accepts one.
    async fn dial(&self) -> io::Result<TcpStream> {
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
        for address in tokio::net::lookup_host((self.host.as_str(), self.port)).await? {
            match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Ok(Err(error)) => failure = error,
                Err(_) => failure = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(failure)
    }
}

/// Implements the trait that `lettre` requires of a stream.
#[derive(Debug)]
struct Encrypted(TlsStream<TcpStream>);

impl AsyncTokioStream for Encrypted {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().0.peer_addr()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn server(url: &str) -> Result<MailServer, MailUrlError> {
        // As every service does when it starts.
        let _ = rustls::crypto::ring::default_provider().install_default();
        MailServer::from_url(&Secret::new(url))
    }

    #[test]
    fn mail_urls_are_parsed_as_lettre_parses_them() {
        let full =
            server("smtp://us%40er:pa%2Fss@mail.example.com:2525/shop?tls=required").unwrap();
        assert_eq!((full.host.as_str(), full.port), ("mail.example.com", 2525));
        assert_eq!(full.hello, ClientId::Domain("shop".to_owned()));
        assert_eq!(
            full.credentials,
            Some(Credentials::new("us@er".to_owned(), "pa/ss".to_owned()))
        );
        assert!(matches!(full.encryption, Encryption::StartTls { required: true, .. }));
        for (url, port) in [
            ("smtp://mail", 25),
            ("smtp://mail?tls=required", 587),
            ("smtp://mail?tls=opportunistic", 587),
            ("smtps://mail", 465),
        ] {
            let server = server(url).unwrap();
            assert_eq!((server.host.as_str(), server.port), ("mail", port), "{url}");
            assert_eq!(server.credentials, None);
        }
        assert_eq!(server("smtp://[::1]").unwrap().host, "::1");
    }

    #[test]
    fn bad_mail_urls_are_refused_and_not_shown() {
        for url in
            ["shh", "http://shh", "smtp:shh", "smtp://mail?tls=shh", "smtp://ada:shh%ff@mail"]
        {
            let Err(error) = server(url) else { panic!("{url} is taken") };
            let text = format!("{error}, {error:?}");
            assert!(!text.contains("shh"), "{text}");
        }
    }

    #[tokio::test]
    async fn connections_to_mail_servers_have_tcp_nodelay() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let stream = server(&url).unwrap().dial().await.unwrap();
        assert!(stream.nodelay().unwrap());
    }
}
