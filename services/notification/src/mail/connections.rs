//! Connections to the mail server, each kept for the mails that follow.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use lettre::Message;
use lettre::transport::smtp;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use tokio::time::{Instant, timeout};

use super::server::{ConnectError, MailServer};

/// For connecting and sending one mail. Some servers delay their greeting by seconds to detect spammers, who do not wait.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// After which an unused connection is closed; servers wait for five minutes (RFC 5321, 4.5.3.2.7).
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);
/// For the answers to QUIT.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A mail was not sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Smtp(#[from] smtp::Error),
    #[error("it did not answer in time")]
    Timeout(#[from] tokio::time::error::Elapsed),
}

impl SendError {
    /// The reply code (RFC 5321, 4.2) by which the server refused the mail or the connection.
    pub(super) fn reply_code(&self) -> Option<u16> {
        match self {
            Self::Smtp(error) | Self::Connect(ConnectError::Smtp(error)) => {
                error.status().map(u16::from)
            }
            Self::Connect(ConnectError::Unreachable(_)) | Self::Timeout(_) => None,
        }
    }
}

/// The connections to one server: at most as many as mails are sent concurrently.
pub(super) struct Connections {
    server: MailServer,
    idle: Mutex<Vec<Idle>>,
    send_timeout: Duration,
}

struct Idle {
    connection: AsyncSmtpConnection,
    since: Instant,
}

impl Connections {
    pub(super) fn new(server: MailServer) -> Self {
        Self { server, idle: Mutex::default(), send_timeout: SEND_TIMEOUT }
    }

    /// Sends a mail. The connection is kept for the next one if the server took it.
    pub(super) async fn send(&self, message: &Message) -> Result<(), SendError> {
        timeout(self.send_timeout, self.try_send(message)).await?
    }

    async fn try_send(&self, message: &Message) -> Result<(), SendError> {
        let mut connection = match self.reuse().await {
            Some(connection) => connection,
            None => self.server.connect().await?,
        };
        connection.send(message.envelope(), &message.formatted()).await?;
        self.with_idle(|idle| idle.push(Idle { connection, since: Instant::now() }));
        Ok(())
    }

    /// The newest idle connection that the server has not closed.
    async fn reuse(&self) -> Option<AsyncSmtpConnection> {
        while let Some(Idle { mut connection, .. }) = self.with_idle(Vec::pop) {
            if connection.test_connected().await {
                return Some(connection);
            }
        }
        None
    }

    /// Closes connections that have been idle for [`IDLE_TIMEOUT`].
    pub(super) async fn close_idle(&self) {
        let is_due = |idle: &mut Idle| idle.since.elapsed() >= IDLE_TIMEOUT;
        let due: Vec<_> = self.with_idle(|idle| idle.extract_if(.., is_due).collect());
        let closing = due.into_iter().map(|mut idle| async move { idle.connection.abort().await });
        // Dropping a connection closes it too, but without QUIT.
        let _ = timeout(CLOSE_TIMEOUT, join_all(closing)).await;
    }

    fn with_idle<T>(&self, change: impl FnOnce(&mut Vec<Idle>) -> T) -> T {
        change(&mut self.idle.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kit::secret::Secret;
    use lettre::transport::smtp::client::{Certificate, TlsParameters};
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::super::server::Encryption;
    use super::*;

    /// What a server has received, in order.
    #[derive(Debug, PartialEq, Eq)]
    enum Seen {
        Connection,
        Tls,
        Mail(String),
        Quit,
    }

    /// An SMTP server with a self-signed certificate for `localhost`.
    struct FakeServer {
        port: u16,
        certificate: rcgen::Certificate,
        seen: mpsc::UnboundedReceiver<Seen>,
    }

    impl FakeServer {
        async fn start(implicit: bool) -> Self {
            // As every service does when it starts.
            let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let CertifiedKey { cert: certificate, signing_key } =
                generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
            let config = ServerConfig::builder()
                .with_no_client_auth()
                .with_single_cert(vec![certificate.der().clone()], key)
                .unwrap();
            let acceptor = TlsAcceptor::from(Arc::new(config));
            let (sender, seen) = mpsc::unbounded_channel();
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let (acceptor, sender) = (acceptor.clone(), sender.clone());
                    sender.send(Seen::Connection).unwrap();
                    tokio::spawn(async move {
                        let stream = if implicit {
                            Some(stream)
                        } else {
                            serve(stream, "220 hello\r\n", &sender).await
                        };
                        let Some(stream) = stream else { return };
                        // Fails when the client does not trust us.
                        let Ok(stream) = acceptor.accept(stream).await else { return };
                        sender.send(Seen::Tls).unwrap();
                        let greeting = if implicit { "220 hello\r\n" } else { "" };
                        serve(stream, greeting, &sender).await;
                    });
                }
            });
            Self { port, certificate, seen }
        }

        fn connections(&self, url: &str) -> Connections {
            let url = url.replace("PORT", &self.port.to_string());
            Connections::new(MailServer::from_url(&Secret::new(url)).unwrap())
        }

        async fn expect(&mut self, seen: &[Seen]) {
            for one in seen {
                let next = timeout(Duration::from_secs(10), self.seen.recv()).await;
                assert_eq!(next.unwrap().as_ref(), Some(one));
            }
        }
    }

    /// Serves SMTP; returns the stream on STARTTLS.
    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
        stream: S,
        greeting: &str,
        sender: &mpsc::UnboundedSender<Seen>,
    ) -> Option<S> {
        let mut stream = BufReader::new(stream);
        stream.write_all(greeting.as_bytes()).await.ok()?;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
            let answer = match line.split(' ').next().unwrap().trim() {
                "EHLO" => "250-test\r\n250 STARTTLS\r\n",
                "STARTTLS" => "220 go on\r\n",
                "DATA" => "354 go on\r\n",
                "QUIT" => "221 bye\r\n",
                _ => "250 fine\r\n",
            };
            stream.write_all(answer.as_bytes()).await.ok()?;
            match line.trim() {
                "STARTTLS" => return Some(stream.into_inner()),
                "QUIT" => {
                    sender.send(Seen::Quit).ok()?;
                    return None;
                }
                "DATA" => {
                    let mut text = String::new();
                    while !text.ends_with("\r\n.\r\n") {
                        stream.read_line(&mut text).await.ok().filter(|read| *read > 0)?;
                    }
                    let (_, body) = text.split_once("\r\n\r\n").unwrap();
                    let body = body.strip_suffix("\r\n.\r\n").unwrap();
                    sender.send(Seen::Mail(body.to_owned())).ok()?;
                    stream.write_all(b"250 taken\r\n").await.ok()?;
                }
                _ => {}
            }
        }
    }

    fn message(text: &str) -> Message {
        let [from, to] = ["shop@example.com", "ada@example.com"].map(|it| it.parse().unwrap());
        Message::builder().from(from).to(to).body(text.to_owned()).unwrap()
    }

    fn mail(text: &str) -> Seen {
        Seen::Mail(text.to_owned())
    }

    #[tokio::test]
    async fn a_connection_is_reused_and_closed_when_idle() {
        let mut server = FakeServer::start(false).await;
        let connections = server.connections("smtp://localhost:PORT");
        for text in ["one", "two"] {
            connections.send(&message(text)).await.unwrap();
        }
        connections.close_idle().await;
        connections.send(&message("three")).await.unwrap();
        server.expect(&[Seen::Connection, mail("one"), mail("two"), mail("three")]).await;
        connections.with_idle(|idle| idle.iter_mut().for_each(|idle| idle.since -= IDLE_TIMEOUT));
        connections.close_idle().await;
        server.expect(&[Seen::Quit]).await;
        connections.send(&message("four")).await.unwrap();
        server.expect(&[Seen::Connection, mail("four")]).await;
    }

    #[tokio::test]
    async fn smtps_requires_a_trusted_certificate() {
        let mut server = FakeServer::start(true).await;
        let url = "smtps://localhost:PORT";
        let error = server.connections(url).send(&message("secret")).await.unwrap_err();
        assert!(matches!(error, SendError::Connect(ConnectError::Unreachable(_))), "{error:?}");
        let mut roots = RootCertStore::empty();
        roots.add(server.certificate.der().clone()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let mut connections = server.connections(url);
        connections.server.encryption = Encryption::Implicit(TlsConnector::from(Arc::new(config)));
        connections.send(&message("secret")).await.unwrap();
        server.expect(&[Seen::Connection, Seen::Connection, Seen::Tls, mail("secret")]).await;
    }

    #[tokio::test]
    async fn starttls_requires_a_trusted_certificate() {
        let mut server = FakeServer::start(false).await;
        let url = "smtp://localhost:PORT?tls=required";
        let error = server.connections(url).send(&message("secret")).await.unwrap_err();
        assert!(matches!(error, SendError::Connect(ConnectError::Smtp(_))), "{error:?}");
        let certificate = Certificate::from_der(server.certificate.der().to_vec()).unwrap();
        let tls = TlsParameters::builder("localhost".to_owned()).add_root_certificate(certificate);
        let mut connections = server.connections(url);
        let tls = tls.build().unwrap();
        connections.server.encryption = Encryption::StartTls { tls, required: true };
        connections.send(&message("secret")).await.unwrap();
        server.expect(&[Seen::Connection, Seen::Connection, Seen::Tls, mail("secret")]).await;
    }

    #[tokio::test]
    async fn a_silent_mail_server_times_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let mut connections = Connections::new(MailServer::from_url(&Secret::new(url)).unwrap());
        connections.send_timeout = Duration::from_millis(100);
        let sent = timeout(Duration::from_secs(10), connections.send(&message("one"))).await;
        assert!(matches!(sent.unwrap(), Err(SendError::Timeout(_))));
    }

    #[tokio::test]
    async fn a_connection_closed_by_the_server_is_not_reused() {
        let mut server = FakeServer::start(false).await;
        let connections = server.connections("smtp://localhost:PORT");
        connections.send(&message("one")).await.unwrap();
        let closed = connections.with_idle(|idle| idle.pop().unwrap());
        let Idle { mut connection, since } = closed;
        connection.quit().await.unwrap();
        connections.with_idle(|idle| idle.push(Idle { connection, since }));
        connections.send(&message("two")).await.unwrap();
        server.expect(&[Seen::Connection, mail("one"), Seen::Quit]).await;
        server.expect(&[Seen::Connection, mail("two")]).await;
    }
}
