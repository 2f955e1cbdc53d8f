//! What an account is: addresses, names, passwords and roles, and what each must look like.

mod name;

use std::collections::HashSet;
use std::str::FromStr;
use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use contracts::UserId;
use contracts::limits::MAX_EMAIL;
use kit::auth::Role;
use kit::secret::Secret;
use serde::{Deserialize, Serialize};

pub use self::name::{Name, NotAName};

/// Longest part before the `@` (RFC 5321, 4.5.3.1.1).
const LOCAL_PART_MAX: usize = 64;
/// Longest label of a domain name (RFC 1035, 2.3.4).
const LABEL_MAX: usize = 63;
/// How short and how long a password may be, in characters (NIST SP 800-63B, 5.1.1.2).
const PASSWORD_LENGTH: std::ops::RangeInclusive<usize> = 8..=128;

/// Passwords that are tried first by whoever guesses, in lower case, one a line.
static COMMON_PASSWORDS: LazyLock<HashSet<&str>> =
    LazyLock::new(|| include_str!("common-passwords.txt").lines().collect());

/// An account, as its owner and administrators see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Account {
    /// Its id.
    pub id: UserId,
    /// The address that it was opened with, in lower case.
    #[schema(example = "ada@example.com")]
    pub email: String,
    /// Whether its owner has shown that the address is theirs.
    pub email_verified: bool,
    /// What the person wants to be called.
    #[schema(example = "Ada")]
    pub name: String,
    /// What it may do.
    pub roles: Vec<Role>,
    /// Whether an administrator keeps it from logging in.
    pub blocked: bool,
    /// Its version, for `If-Match`.
    pub version: i64,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
}

/// An e-mail address, trimmed and in lower case: two spellings of it are one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email(String);

/// Not an e-mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an e-mail address like name@example.com")]
pub struct NotAnEmail;

impl Email {
    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Accepts what browsers accept in a form (WHATWG HTML, "valid e-mail address"), within the lengths
/// and the dot rule of RFC 5321, so that mail servers accept it too.
impl FromStr for Email {
    type Err = NotAnEmail;

    fn from_str(text: &str) -> Result<Self, NotAnEmail> {
        // First: the conversion of a domain takes time quadratic in the length of its labels.
        if text.trim().chars().nth(MAX_EMAIL).is_some() {
            return Err(NotAnEmail);
        }
        let text = text.trim().to_ascii_lowercase();
        let (local, domain) = text.split_once('@').ok_or(NotAnEmail)?;
        // A domain with other letters is stored as mail servers look it up (RFC 5891).
        let domain = idna::domain_to_ascii(domain).map_err(|_| NotAnEmail)?;
        let text = format!("{local}@{domain}");
        let local_ok = local.len() <= LOCAL_PART_MAX && local.split('.').all(is_atom);
        let domain_ok = domain.split('.').all(is_label);
        if text.len() <= MAX_EMAIL && local_ok && domain_ok {
            Ok(Self(text))
        } else {
            Err(NotAnEmail)
        }
    }
}

fn is_atom(part: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+/=?^_`{|}~-".contains(c);
    !part.is_empty() && part.chars().all(allowed)
}

fn is_label(label: &str) -> bool {
    (1..=LABEL_MAX).contains(&label.len())
        && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// A password that may be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Password(Secret);

/// Why a password may not be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too short or too long.
    #[error(
        "must have {} to {} characters", PASSWORD_LENGTH.start(), PASSWORD_LENGTH.end()
    )]
    Length,
    /// Everybody's password.
    #[error("is one of the most common passwords; choose another")]
    Common,
}

impl Password {
    /// The password itself.
    pub fn into_secret(self) -> Secret {
        self.0
    }
}

impl FromStr for Password {
    type Err = PasswordError;

    fn from_str(text: &str) -> Result<Self, PasswordError> {
        if !is_password_length(text) {
            Err(PasswordError::Length)
        } else if COMMON_PASSWORDS.contains(text.to_lowercase().as_str()) {
            Err(PasswordError::Common)
        } else {
            Ok(Self(Secret::new(text)))
        }
    }
}

/// Whether any account can have a password of this length; no other is worth hashing.
pub fn is_password_length(text: &str) -> bool {
    PASSWORD_LENGTH.contains(&text.chars().count())
}

/// How a role is spelled in the database, which is how JSON spells it.
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Customer => "customer",
        Role::Seller => "seller",
        Role::Admin => "admin",
    }
}

/// The role that is spelled so.
pub fn role_of(name: &str) -> Option<Role> {
    [Role::Customer, Role::Seller, Role::Admin].into_iter().find(|role| role_name(*role) == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_an_address_are_one() {
        let email: Email = "  Ada.L@Example.COM ".parse().unwrap();
        assert_eq!(email.as_str(), "ada.l@example.com");
        for spelling in
            ["ada@Müller.example", "ada@mu\u{308}ller.example", "ada@XN--Mller-kva.example"]
        {
            let email: Email = spelling.parse().unwrap();
            assert_eq!(email.as_str(), "ada@xn--mller-kva.example", "{spelling}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@example.com", "a".repeat(65));
        for text in [
            "",
            "@",
            "a",
            "a@",
            "@a.com",
            "a@b@c.com",
            "a b@c.com",
            "a@b..com",
            "a@-b.com",
            "a..b@c.com",
            ".a@c.com",
            "a@c.com.",
            "a@c\r\nBcc: x.com",
            "<a@c.com>",
            "ä@c.com",
            "a@c_d.com",
            "a@mül ler.com",
            "a@mül\u{202E}ler.com",
            "a@xn--a.com",
            "a@ü..com",
            &long,
        ] {
            assert_eq!(text.parse::<Email>(), Err(NotAnEmail), "{text:?}");
        }
        for text in ["a@b.co", "a+b@c-d.example", "o'neil@example.com", "root@localhost"] {
            assert!(text.parse::<Email>().is_ok(), "{text:?}");
        }
    }

    /// The conversion of a domain is quadratic in its labels, and anybody sends an address.
    #[test]
    fn a_text_too_long_for_an_address_is_refused_at_once() {
        let label: String = ('\u{4E00}'..).take(1_000).collect();
        let domain = vec![label; 349].join(".");
        let begun = std::time::Instant::now();
        assert_eq!(format!("a@{domain}").parse::<Email>(), Err(NotAnEmail));
        // Converting it takes several times as long.
        assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
        // Letters that are longer in UTF-8 than as DNS has them.
        let long = format!("{}@{}", "a".repeat(64), vec!["\u{4E00}".repeat(50); 3].join("."));
        assert!(long.len() > MAX_EMAIL && long.parse::<Email>().is_ok());
    }

    #[test]
    fn passwords_have_bounds_and_are_not_common() {
        let length = |n: usize| "ä".repeat(n).parse::<Password>();
        assert_eq!(length(7), Err(PasswordError::Length));
        assert_eq!(length(129), Err(PasswordError::Length));
        assert!(length(8).is_ok() && length(128).is_ok());
        for text in ["password", "PassWord", "12345678", "qwertyuiop"] {
            assert_eq!(text.parse::<Password>(), Err(PasswordError::Common), "{text}");
        }
        assert!(!format!("{:?}", length(8)).contains('ä'), "Debug must not show it");
    }

    #[test]
    fn the_list_of_common_passwords_is_worth_its_place() {
        assert!(COMMON_PASSWORDS.len() >= 200, "{}", COMMON_PASSWORDS.len());
        for text in COMMON_PASSWORDS.iter() {
            assert!(is_password_length(text), "{text} is too short anyway");
            assert_eq!(text.to_lowercase(), **text);
        }
    }

    #[test]
    fn roles_are_spelled_as_in_json() {
        for role in [Role::Customer, Role::Seller, Role::Admin] {
            assert_eq!(serde_json::json!(role), role_name(role));
            assert_eq!(role_of(role_name(role)), Some(role));
        }
        assert_eq!(role_of("root"), None);
    }
}
