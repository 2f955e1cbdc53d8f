//! Sending mails: claimed in the database, handed to an SMTP server, settled in the database.

mod connections;
mod server;

use std::sync::Arc;

use futures_util::future::join_all;
use kit::secret::Secret;
use kit::telemetry::chain;
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};
use sqlx::PgPool;

use crate::db::{self, Due, EMAIL};
use crate::delivery::Outcome;
use crate::letter::{Letter, Rendered, Sender, plain};

use connections::{Connections, SendError};
use server::{MailServer, MailUrlError};

/// Mails in one transaction, sent at the same time.
const BATCH: i64 = 8;
/// Replies by which a server refuses this mail rather than us (RFC 5321, 4.2.3): no such mailbox,
/// too large, not acceptable. A refused login is no fault of the mail.
const REFUSALS: [u16; 5] = [550, 551, 552, 553, 554];

/// Sends mails of one shop.
#[derive(Clone)]
pub struct Mailer {
    sender: Sender,
    from: Mailbox,
    staff: Option<Address>,
    connections: Arc<Connections>,
    pool: PgPool,
}

/// Why a mail was not sent.
#[derive(Debug, thiserror::Error)]
enum MailError {
    #[error("the stored letter cannot be read")]
    Letter(#[from] serde_json::Error),
    #[error("the recipient's address is not valid")]
    Address(#[from] lettre::address::AddressError),
    #[error("the mail cannot be put together")]
    Build(#[from] lettre::error::Error),
    #[error("the mail server did not take the mail")]
    Server(#[from] SendError),
}

impl MailError {
    /// Whether the same attempt can succeed later.
    fn is_permanent(&self) -> bool {
        match self {
            Self::Letter(_) | Self::Address(_) | Self::Build(_) => true,
            Self::Server(error) => error.reply_code().is_some_and(|code| REFUSALS.contains(&code)),
        }
    }
}

impl Mailer {
    /// Writes for this shop from this address, to staff at theirs. Connects on first use to `url` (`smtp://` or `smtps://`).
    pub fn new(
        (sender, from): (Sender, Mailbox),
        staff: Option<Address>,
        url: &Secret,
        pool: PgPool,
    ) -> Result<Self, MailUrlError> {
        let connections = Arc::new(Connections::new(MailServer::from_url(url)?));
        Ok(Self { sender, from, staff, connections, pool })
    }

    /// Sends what is due and tells how much that was. A process that dies between the server's
    /// answer and the commit sends the same mail again, under the same Message-ID.
    pub async fn round(self) -> Result<usize, sqlx::Error> {
        let mut tx = self.pool.begin().await?;
        let staff = self.staff.as_ref().map(AsRef::as_ref);
        let due = db::due(&mut tx, BATCH, staff).await?;
        let outcomes = join_all(due.iter().map(|mail| self.attempt(mail))).await;
        for (mail, outcome) in due.iter().zip(outcomes) {
            outcome.settle(&mut tx, EMAIL, mail.id).await?;
        }
        tx.commit().await?;
        self.connections.close_idle().await;
        Ok(due.len())
    }

    async fn attempt(&self, mail: &Due) -> Outcome {
        match self.send(mail).await {
            Ok(()) => Outcome::Sent,
            Err(error) => Outcome::failed(mail.attempts, error.is_permanent(), chain(&error)),
        }
    }

    async fn send(&self, mail: &Due) -> Result<(), MailError> {
        let letter: Letter = serde_json::from_value(mail.letter.clone())?;
        let message = self.message(mail, letter.render(&self.sender, &mail.name))?;
        self.connections.send(&message).await?;
        Ok(())
    }

    fn message(&self, mail: &Due, rendered: Rendered) -> Result<Message, MailError> {
        let to: Address = mail.email.parse()?;
        let name = Some(plain::name(&mail.name)).filter(|name| !name.is_empty());
        let message = Message::builder()
            .message_id(Some(format!("<{}@{}>", mail.id, self.from.email.domain())))
            .from(self.from.clone())
            .to(Mailbox::new(name, to))
            .subject(rendered.subject)
            .multipart(MultiPart::alternative_plain_html(rendered.text, rendered.html))?;
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_mail_is_named_after_its_row_and_its_headers_take_no_injection() {
        let pool = PgPool::connect_lazy("postgres://nobody@127.0.0.1:1/none").unwrap();
        let from = "Demo <shop@example.com>".parse().unwrap();
        let url = Secret::new("smtp://127.0.0.1:1");
        let sender = Sender { shop: "demo".to_owned(), url: "https://demo.example".to_owned() };
        let mailer = Mailer::new((sender.clone(), from), None, &url, pool).unwrap();
        for name in [
            "Ada\r\nBcc: eve@example.com",
            "",
            "\0",
            "\"<x>,\\",
            "Ada\u{85}",
            "Ada\u{202e}\u{2028}",
            "👩‍👩‍👧 Ä",
        ] {
            for name in [name.to_owned(), name.repeat(500)] {
                let mail = Due {
                    id: uuid::Uuid::now_v7(),
                    attempts: 0,
                    letter: serde_json::to_value(Letter::Welcome).unwrap(),
                    email: "ada@example.com".to_owned(),
                    name,
                };
                let rendered = Letter::Welcome.render(&sender, &mail.name);
                let message = mailer.message(&mail, rendered).unwrap();
                let formatted = String::from_utf8(message.formatted()).unwrap();
                let (head, _) = formatted.split_once("\r\n\r\n").unwrap();
                assert!(head.contains(&format!("Message-ID: <{}@example.com>", mail.id)), "{head}");
                assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
                assert_eq!(message.envelope().to().len(), 1);
            }
        }
    }
}
