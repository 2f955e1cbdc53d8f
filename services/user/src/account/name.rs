//! Names of people. They stand in e-mails to others.

use std::str::FromStr;

/// Longest name, in characters.
const NAME_MAX: usize = 100;
/// What a person is called who has given no name. Not a part of the e-mail address: names are shown
/// to other shoppers.
const DEFAULT_NAME: &str = "Customer";

/// What a person wants to be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

/// Not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must have 1 to {NAME_MAX} characters, none of them a control, invisible or direction character, and no web address (write a space after a dot)"
)]
pub struct NotAName;

impl Name {
    /// What the first administrator is called, until they say otherwise.
    pub fn administrator() -> Self {
        Self("Administrator".to_owned())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Name {
    fn default() -> Self {
        Self(DEFAULT_NAME.to_owned())
    }
}

impl FromStr for Name {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let text = text.trim();
        let length_ok = (1..=NAME_MAX).contains(&text.chars().count());
        let is_line = contracts::text::line(text).is_ok();
        if length_ok && is_line && !text.split(is_space).any(is_link) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAName)
        }
    }
}

/// Whether words end here: U+200B is an invisible space.
fn is_space(c: char) -> bool {
    c.is_whitespace() || c == '\u{200B}'
}

/// Whether mail programs may make a link of a word: names stand in mails to others, and must not lead anywhere.
fn is_link(word: &str) -> bool {
    // Dots of other scripts are dots in domain names, too (UTS 46, 2.3).
    let word = word.to_lowercase().replace(['\u{3002}', '\u{ff0e}', '\u{ff61}'], ".");
    word.contains("://")
        || word.starts_with("www.")
        || word.split('/').next().is_some_and(is_domain)
        || (word.contains('/') && word.contains('.') && word.split('/').any(is_short_domain))
}

/// Labels of a domain name, the last of at least two letters; initials before a name are none.
fn is_domain(word: &str) -> bool {
    let word = word.trim_matches(|c: char| !c.is_alphanumeric());
    let labels: Vec<&str> = word.split('.').collect();
    is_short_domain(word) && labels.iter().rev().skip(1).any(|label| label.chars().count() > 1)
}

fn is_short_domain(word: &str) -> bool {
    let Some((rest, last)) = word.rsplit_once('.') else { return false };
    let is_label =
        |label: &str| !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-');
    rest.split('.').all(is_label)
        && last.chars().count() > 1
        && last.chars().all(char::is_alphabetic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_visible() {
        assert_eq!(" Ada ".parse::<Name>().unwrap().as_str(), "Ada");
        for text in
            ["", "  ", "a\nb", "Ada\u{202E}ecilA", "A\u{200B}da", "\u{3164}", &"a".repeat(101)]
        {
            assert_eq!(text.parse::<Name>(), Err(NotAName), "{text:?}");
        }
        for text in ["محمد", "می\u{200C}خواهم", "ישראל", "क्\u{200D}ष", "👨\u{200D}👩\u{200D}👧"]
        {
            assert_eq!(text.parse::<Name>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn names_lead_nowhere() {
        for text in [
            "You won! http://evil.example/prize",
            "HTTPS://evil.example",
            "ftp://x",
            "www.evil",
            "Claim at evil.example now",
            "evil.example/prize",
            "(evil.co.uk)",
            "t.co/x",
            "evil\u{3002}example",
            "prämie.рф",
            "ซื้อ\u{200B}เลย.com",
        ] {
            assert_eq!(text.parse::<Name>(), Err(NotAName), "{text:?}");
        }
        for text in [
            "Ada",
            "J. R. R. Tolkien",
            "J.R.R.Tolkien",
            "Martin Luther King Jr.",
            "St. John",
            "Maersk A/S",
            "O'Neil",
            "李小龙",
            "يوسف",
            "Jean-Luc",
            "3.14",
            "…",
            "A. de la Cruz",
            "Dr. No",
        ] {
            assert!(text.parse::<Name>().is_ok(), "{text:?}");
        }
    }
}
