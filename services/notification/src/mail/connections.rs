//! Connections to the mail server, each kept for the mails that follow.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use lettre::Message;
use lettre::transport::smtp;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use tokio::time::{Instant, timeout};

use super::server::{ConnectError, MailServer};

/// How long a connection and a mail may take. Some servers let senders wait for their greeting, for seconds, to know them
/// from those that cannot wait.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a connection is kept that has nothing to do: less than servers wait for us (RFC 5321, 4.5.3.2.7: five minutes).
const IDLE: Duration = Duration::from_mins(1);
/// How long a server may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// A mail was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Smtp(#[from] smtp::Error),
    #[error("it did not answer in time")]
    Silent(#[from] tokio::time::error::Elapsed),
}

impl SendError {
    /// What the server said against the mail, or against us.
    pub(super) fn reply(&self) -> Option<u16> {
        match self {
            Self::Smtp(error) | Self::Connect(ConnectError::Smtp(error)) => {
                error.status().map(u16::from)
            }
            Self::Connect(ConnectError::Unreachable(_)) | Self::Silent(_) => None,
        }
    }
}

/// The connections to one server. There are as many as mails are sent at the same time.
pub(super) struct Connections {
    server: MailServer,
    idle: Mutex<Vec<Idle>>,
    patience: Duration,
}

struct Idle {
    connection: AsyncSmtpConnection,
    since: Instant,
}

impl Connections {
    pub(super) fn new(server: MailServer) -> Self {
        Self { server, idle: Mutex::default(), patience: PATIENCE }
    }

    /// Sends a mail. The connection is kept for the next one if the server took it.
    pub(super) async fn send(&self, message: &Message) -> Result<(), SendError> {
        timeout(self.patience, self.try_send(message)).await?
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

    /// Ends connections that have had nothing to do for a while.
    pub(super) async fn leave(&self) {
        let too_long = |idle: &mut Idle| idle.since.elapsed() >= IDLE;
        let old: Vec<_> = self.with_idle(|idle| idle.extract_if(.., too_long).collect());
        // Who does not answer is left all the same.
        let goodbyes = old.into_iter().map(|mut idle| async move { idle.connection.abort().await });
        let _ = timeout(GOODBYE, join_all(goodbyes)).await;
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

    /// What a server has seen of its clients, in this order.
    #[derive(Debug, PartialEq, Eq)]
    enum Seen {
        Connection,
        Tls,
        Mail(String),
        Goodbye,
    }

    /// A server with a certificate for `localhost`, which only those trust who were told of it.
    struct Speaker {
        port: u16,
        certificate: rcgen::Certificate,
        seen: mpsc::UnboundedReceiver<Seen>,
    }

    impl Speaker {
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
            let (tell, seen) = mpsc::unbounded_channel();
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let (acceptor, tell) = (acceptor.clone(), tell.clone());
                    tell.send(Seen::Connection).unwrap();
                    tokio::spawn(async move {
                        let stream = if implicit {
                            Some(stream)
                        } else {
                            speak(stream, "220 hello\r\n", &tell).await
                        };
                        let Some(stream) = stream else { return };
                        // Fails when the client does not trust us.
                        let Ok(stream) = acceptor.accept(stream).await else { return };
                        tell.send(Seen::Tls).unwrap();
                        let greeting = if implicit { "220 hello\r\n" } else { "" };
                        speak(stream, greeting, &tell).await;
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

    /// Speaks SMTP; gives the stream back when the client wants TLS.
    async fn speak<S: AsyncRead + AsyncWrite + Unpin>(
        stream: S,
        greeting: &str,
        tell: &mpsc::UnboundedSender<Seen>,
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
                    tell.send(Seen::Goodbye).ok()?;
                    return None;
                }
                "DATA" => {
                    let mut text = String::new();
                    while !text.ends_with("\r\n.\r\n") {
                        stream.read_line(&mut text).await.ok().filter(|read| *read > 0)?;
                    }
                    let (_, body) = text.split_once("\r\n\r\n").unwrap();
                    let body = body.strip_suffix("\r\n.\r\n").unwrap();
                    tell.send(Seen::Mail(body.to_owned())).ok()?;
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
    async fn a_connection_serves_many_mails_and_is_left_with_a_goodbye() {
        let mut speaker = Speaker::start(false).await;
        let connections = speaker.connections("smtp://localhost:PORT");
        for text in ["one", "two"] {
            connections.send(&message(text)).await.unwrap();
        }
        connections.leave().await;
        connections.send(&message("three")).await.unwrap();
        speaker.expect(&[Seen::Connection, mail("one"), mail("two"), mail("three")]).await;
        connections.with_idle(|idle| idle.iter_mut().for_each(|idle| idle.since -= IDLE));
        connections.leave().await;
        speaker.expect(&[Seen::Goodbye]).await;
        connections.send(&message("four")).await.unwrap();
        speaker.expect(&[Seen::Connection, mail("four")]).await;
    }

    #[tokio::test]
    async fn mails_are_encrypted_for_a_server_that_is_trusted() {
        let mut speaker = Speaker::start(true).await;
        let url = "smtps://localhost:PORT";
        let error = speaker.connections(url).send(&message("secret")).await.unwrap_err();
        assert!(matches!(error, SendError::Connect(ConnectError::Unreachable(_))), "{error:?}");
        let mut roots = RootCertStore::empty();
        roots.add(speaker.certificate.der().clone()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let mut connections = speaker.connections(url);
        connections.server.encryption = Encryption::Implicit(TlsConnector::from(Arc::new(config)));
        connections.send(&message("secret")).await.unwrap();
        speaker.expect(&[Seen::Connection, Seen::Connection, Seen::Tls, mail("secret")]).await;
    }

    #[tokio::test]
    async fn starttls_encrypts_for_a_server_that_is_trusted() {
        let mut speaker = Speaker::start(false).await;
        let url = "smtp://localhost:PORT?tls=required";
        let error = speaker.connections(url).send(&message("secret")).await.unwrap_err();
        assert!(matches!(error, SendError::Connect(ConnectError::Smtp(_))), "{error:?}");
        let certificate = Certificate::from_der(speaker.certificate.der().to_vec()).unwrap();
        let tls = TlsParameters::builder("localhost".to_owned()).add_root_certificate(certificate);
        let mut connections = speaker.connections(url);
        let tls = tls.build().unwrap();
        connections.server.encryption = Encryption::StartTls { tls, required: true };
        connections.send(&message("secret")).await.unwrap();
        speaker.expect(&[Seen::Connection, Seen::Connection, Seen::Tls, mail("secret")]).await;
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let mut connections = Connections::new(MailServer::from_url(&Secret::new(url)).unwrap());
        connections.patience = Duration::from_millis(100);
        let sent = timeout(Duration::from_secs(10), connections.send(&message("one"))).await;
        assert!(matches!(sent.unwrap(), Err(SendError::Silent(_))));
    }

    #[tokio::test]
    async fn a_connection_that_the_server_has_closed_is_not_used_again() {
        let mut speaker = Speaker::start(false).await;
        let connections = speaker.connections("smtp://localhost:PORT");
        connections.send(&message("one")).await.unwrap();
        let closed = connections.with_idle(|idle| idle.pop().unwrap());
        let Idle { mut connection, since } = closed;
        connection.quit().await.unwrap();
        connections.with_idle(|idle| idle.push(Idle { connection, since }));
        connections.send(&message("two")).await.unwrap();
        speaker.expect(&[Seen::Connection, mail("one"), Seen::Goodbye]).await;
        speaker.expect(&[Seen::Connection, mail("two")]).await;
    }
}
