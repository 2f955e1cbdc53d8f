//! The sender of a shop's e-mails and the address of its staff, as the operator admits them and the notification service
//! reads them.

use std::str::FromStr;

use lettre::Address;
use lettre::message::Mailbox;

use crate::limits::MAX_EMAIL;

/// Longest sender with a name: a line of a header (RFC 5322, 2.1.1).
const MAX_MAILBOX: usize = 998;

/// An address without a name. Its domain is as DNS has it (IDNA, RFC 5891): many servers take no other (RFC 6531,
/// SMTPUTF8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailAddress(pub Address);

/// The text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an e-mail address, such as staff@example.com")]
pub struct MailAddressError;

impl FromStr for MailAddress {
    type Err = MailAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Before the conversion of the domain, which takes time quadratic in the length of its labels.
        if text.chars().nth(MAX_EMAIL).is_some() {
            return Err(MailAddressError);
        }
        text.parse::<Address>().map_err(|_| MailAddressError).and_then(Self::try_from)
    }
}

impl TryFrom<Address> for MailAddress {
    type Error = MailAddressError;

    fn try_from(address: Address) -> Result<Self, Self::Error> {
        if address.domain().is_ascii() {
            return Ok(Self(address));
        }
        let domain = idna::domain_to_ascii(address.domain()).map_err(|_| MailAddressError)?;
        let address = Address::new(address.user(), domain).map_err(|_| MailAddressError)?;
        Ok(Self(address))
    }
}

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
        if text.contains(char::is_control) || text.chars().nth(MAX_MAILBOX).is_some() {
            return Err(MailFromError);
        }
        let mailbox: Mailbox = text.parse().map_err(|_| MailFromError)?;
        let MailAddress(email) = mailbox.email.try_into().map_err(|_| MailFromError)?;
        Ok(Self(Mailbox::new(mailbox.name, email)))
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
    fn domains_are_as_dns_has_them() {
        for (text, address) in [
            ("shop@müller.example", "shop@xn--mller-kva.example"),
            ("Müller <shop@MÜLLER.example>", "shop@xn--mller-kva.example"),
            ("shop@小説.example", "shop@xn--yets89h.example"),
            ("shop@xn--mller-kva.example", "shop@xn--mller-kva.example"),
            ("shop@Example.com", "shop@Example.com"),
        ] {
            let MailFrom(mailbox) = text.parse().unwrap_or_else(|_| panic!("{text}"));
            assert_eq!(mailbox.email.to_string(), address, "{text}");
        }
        let MailAddress(staff) = "staff@müller.example".parse().unwrap();
        assert_eq!(staff.to_string(), "staff@xn--mller-kva.example");
        assert_eq!(name("Müller <shop@müller.example>").as_deref(), Some("Müller"));
    }

    /// The conversion of a domain is quadratic in its labels.
    #[test]
    fn a_text_too_long_for_an_address_is_refused_at_once() {
        let label: String = ('\u{4E00}'..).take(1_000).collect();
        let text = format!("staff@{}", vec![label; 349].join("."));
        let begun = std::time::Instant::now();
        assert_eq!(text.parse::<MailAddress>(), Err(MailAddressError));
        assert_eq!(text.parse::<MailFrom>(), Err(MailFromError));
        // Converting it takes several times as long.
        assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
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
        for text in
            ["", "staff", "staff@", "Staff <staff@example.com>", "a@example.com, b@example.com"]
        {
            assert_eq!(text.parse::<MailAddress>(), Err(MailAddressError), "{text:?}");
        }
        assert!(MailFromError.to_string().contains(r#"`"Shop (Berlin)" <shop@example.com>`"#));
    }
}
