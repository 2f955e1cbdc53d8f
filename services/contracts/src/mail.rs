//! The sender of a shop's e-mails, as the operator admits it and the notification service reads it.

use std::str::FromStr;

use lettre::message::Mailbox;

/// Who e-mails are from: `shop@example.com`, or `Shop <shop@example.com>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailFrom(pub Mailbox);

/// The text names no mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be `shop@example.com` or `Shop <shop@example.com>`; a name with any of ( ) < > [ ] : ; , @ is in double quotes: \
     `\"Shop (Berlin)\" <shop@example.com>`"
)]
pub struct MailFromError;

impl FromStr for MailFrom {
    type Err = MailFromError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // RFC 5322 has control characters in quotes, headers cannot have them.
        if text.contains(char::is_control) {
            return Err(MailFromError);
        }
        text.parse().map(Self).map_err(|_| MailFromError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Option<String> {
        text.parse::<MailFrom>().unwrap_or_else(|_| panic!("{text}")).0.name
    }

    #[test]
    fn a_sender_has_an_address_and_maybe_a_name() {
        assert_eq!(name("shop@example.com"), None);
        assert_eq!(name("Shop <shop@example.com>").as_deref(), Some("Shop"));
        assert_eq!(name("Müller & Co. <shop@example.com>").as_deref(), Some("Müller & Co."));
        let quoted = r#""Müller, Söhne & Co. (Shop)" <shop@example.com>"#;
        assert_eq!(name(quoted).as_deref(), Some("Müller, Söhne & Co. (Shop)"));
        let escaped = r#""The \"Best\" Shop" <shop@example.com>"#;
        assert_eq!(name(escaped).as_deref(), Some(r#"The "Best" Shop"#));
    }

    #[test]
    fn what_no_header_can_have_is_refused() {
        for text in [
            "",
            "shop",
            "shop@",
            "@example.com",
            "Shop <shop@example.com",
            "shop@exa mple.com",
            "Müller, Söhne & Co. (Shop) <shop@example.com>",
            "Shop, Inc. <shop@example.com>",
            "a@example.com, b@example.com",
            "Shop <a@example.com> <b@example.com>",
            "\"Shop\u{1}\" <shop@example.com>",
            "Shop\r\nBcc: <eve@example.com>",
            "\"Shop <shop@example.com>",
        ] {
            assert_eq!(text.parse::<MailFrom>(), Err(MailFromError), "{text:?}");
        }
        assert!(MailFromError.to_string().contains(r#"`"Shop (Berlin)" <shop@example.com>`"#));
    }
}
