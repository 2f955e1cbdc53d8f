//! Configuration comes from environment variables only and is parsed once, at the start. All
//! mistakes are reported together, so that a pod does not have to fail once for each.

use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;

/// Something that is configured by environment variables.
pub trait FromEnv: Sized {
    /// Reads it; `None` if something is missing or wrong, which `env` has noted.
    fn from_env(env: &mut Env) -> Option<Self>;
}

/// A set of environment variables, and what was found wrong with them.
#[derive(Debug, Default)]
pub struct Env {
    variables: HashMap<String, String>,
    mistakes: Vec<String>,
}

/// What is wrong with the configuration, all of it.
#[derive(Debug, thiserror::Error)]
#[error("the configuration is not valid: {}", .0.join("; "))]
pub struct ConfigError(pub Vec<String>);

#[expect(clippy::option_option, reason = "absent and wrong are different")]
impl Env {
    /// The environment of this process.
    pub fn of_process() -> Self {
        Self::new(std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }))
    }

    /// These variables.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { variables: variables.into_iter().collect(), mistakes: Vec::new() }
    }

    /// Parses a whole configuration.
    pub fn parse<T: FromEnv>(mut self) -> Result<T, ConfigError> {
        match T::from_env(&mut self) {
            Some(value) if self.mistakes.is_empty() => Ok(value),
            _ => Err(ConfigError(self.mistakes)),
        }
    }

    /// A variable that must be there.
    pub fn required<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        if !self.variables.contains_key(name) {
            self.mistakes.push(format!("{name} is not set"));
        }
        self.read(name)?
    }

    /// A variable that may be absent; the outer `None` says that it is there and wrong.
    pub fn optional<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<Option<T>> {
        match self.variables.get(name).map(String::is_empty) {
            None | Some(true) => Some(None),
            Some(false) => self.read(name)?.map(Some),
        }
    }

    /// A variable with a default.
    pub fn or<T: FromStr<Err: Display>>(&mut self, name: &str, default: T) -> Option<T> {
        self.optional(name).map(|value| value.unwrap_or(default))
    }

    fn read<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<Option<T>> {
        let value = self.variables.get(name)?;
        match value.parse() {
            Ok(value) => Some(Some(value)),
            Err(error) => {
                // Never the value: it may be a password.
                self.mistakes.push(format!("{name}: {error}"));
                Some(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Sample {
        port: u16,
        host: Option<String>,
        limit: u32,
    }

    impl FromEnv for Sample {
        fn from_env(env: &mut Env) -> Option<Self> {
            let port = env.required("PORT");
            let host = env.optional("HOST");
            let limit = env.or("LIMIT", 7);
            Some(Self { port: port?, host: host?, limit: limit? })
        }
    }

    fn parse(variables: &[(&str, &str)]) -> Result<Sample, ConfigError> {
        let owned = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Env::new(owned).parse()
    }

    #[test]
    fn defaults_and_absence() {
        let sample = parse(&[("PORT", "80")]).unwrap();
        assert_eq!((sample.port, sample.host, sample.limit), (80, None, 7));
        let sample = parse(&[("PORT", "80"), ("HOST", "a"), ("LIMIT", "9")]).unwrap();
        assert_eq!((sample.host.as_deref(), sample.limit), (Some("a"), 9));
    }

    #[test]
    fn every_mistake_is_named_and_no_value_shown() {
        let error = parse(&[("LIMIT", "secret")]).unwrap_err().to_string();
        assert!(error.contains("PORT is not set"), "{error}");
        assert!(error.contains("LIMIT:"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}
