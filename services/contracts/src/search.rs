//! The language that a shop's products are searched in.

use std::str::FromStr;

/// The text search configurations of every Postgres since version 14. `simple` knows neither forms of words nor words to
/// ignore.
pub const LANGUAGES: [&str; 29] = [
    "simple",
    "arabic",
    "armenian",
    "basque",
    "catalan",
    "danish",
    "dutch",
    "english",
    "finnish",
    "french",
    "german",
    "greek",
    "hindi",
    "hungarian",
    "indonesian",
    "irish",
    "italian",
    "lithuanian",
    "nepali",
    "norwegian",
    "portuguese",
    "romanian",
    "russian",
    "serbian",
    "spanish",
    "swedish",
    "tamil",
    "turkish",
    "yiddish",
];

/// One of [`LANGUAGES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchLanguage(&'static str);

/// The text names no language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of {}", LANGUAGES.join(", "))]
pub struct SearchLanguageError;

impl SearchLanguage {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl Default for SearchLanguage {
    fn default() -> Self {
        Self("english")
    }
}

impl FromStr for SearchLanguage {
    type Err = SearchLanguageError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = LANGUAGES.into_iter().find(|language| *language == text);
        known.map(Self).ok_or(SearchLanguageError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_those_of_postgres() {
        assert_eq!("german".parse().map(SearchLanguage::as_str), Ok("german"));
        assert_eq!(SearchLanguage::default().as_str().parse(), Ok(SearchLanguage::default()));
        for text in ["", "German", "klingon", "german'; DROP TABLE products"] {
            assert_eq!(text.parse::<SearchLanguage>(), Err(SearchLanguageError), "{text}");
        }
    }
}
