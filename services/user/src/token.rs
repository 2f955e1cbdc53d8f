//! Tokens: signed access tokens, which every service verifies by itself, and opaque ones for refreshing
//! them and for letters, which only this service can look up.

use std::path::{Path, PathBuf};
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{TimeDelta, Utc};
use contracts::UserId;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::{self, DecodePrivateKey as _, EncodePrivateKey as _};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use kit::auth::{ACCESS, Claims, KeyFile, Role};
use kit::secret::Secret;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// How long an access token is valid.
pub const ACCESS_LIFETIME: TimeDelta = TimeDelta::minutes(5);
/// How long a refresh token is valid: a session ends when it was not used for so long.
pub const REFRESH_LIFETIME: TimeDelta = TimeDelta::days(30);
/// How long a session lives, however often it is used: a stolen one is not good for ever.
pub const SESSION_LIFETIME: TimeDelta = TimeDelta::days(90);

/// What an access token says of its account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What the account may do.
    pub roles: Vec<Role>,
    /// Whether its e-mail address is verified.
    pub email_verified: bool,
}

/// Signs access tokens.
pub struct Issuer {
    iss: String,
    aud: String,
    /// A rotation restarts the pods; one that cannot be replaced must not sign with a key that is no longer published.
    key: KeyFile<PrivateKey, SigningKeyError>,
}

struct PrivateKey {
    header: Header,
    key: EncodingKey,
}

/// Why tokens cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// The file cannot be read.
    #[error("cannot read the signing key {0}")]
    Read(PathBuf, #[source] std::io::Error),
    /// The file is no Ed25519 key in PKCS#8 PEM.
    #[error("the signing key is not Ed25519 in PKCS#8 PEM")]
    Parse(#[source] pkcs8::Error),
}

impl Issuer {
    /// Reads the private key; `issuer` and `audience` are what verifiers expect.
    pub fn new(file: &Path, issuer: &str, audience: &str) -> Result<Self, SigningKeyError> {
        let key = KeyFile::new(file.to_owned(), PrivateKey::read, Instant::now())?;
        Ok(Self { iss: issuer.to_owned(), aud: audience.to_owned(), key })
    }

    /// An access token for this account in this session, valid from now on. `instant` is now, by which the key
    /// is read again.
    pub fn access_token(
        &self,
        (user, session): (UserId, Uuid),
        standing: &Standing,
        instant: Instant,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let now = Utc::now();
        let claims = Claims {
            iss: self.iss.clone(),
            aud: self.aud.clone(),
            sub: user,
            exp: (now + ACCESS_LIFETIME).timestamp(),
            iat: now.timestamp(),
            nbf: now.timestamp(),
            jti: Uuid::now_v7(),
            typ: ACCESS.to_owned(),
            roles: standing.roles.clone(),
            email_verified: Some(standing.email_verified),
            sid: Some(session),
        };
        let key = self.key.get(instant);
        jsonwebtoken::encode(&key.header, &claims, &key.key)
    }
}

impl PrivateKey {
    fn read(file: &Path) -> Result<Self, SigningKeyError> {
        let pem = std::fs::read_to_string(file)
            .map_err(|error| SigningKeyError::Read(file.to_owned(), error))?;
        let key = SigningKey::from_pkcs8_pem(&pem).map_err(SigningKeyError::Parse)?;
        let der = key.to_pkcs8_der().map_err(SigningKeyError::Parse)?;
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(thumbprint(&key));
        Ok(Self { header, key: EncodingKey::from_ed_der(der.as_bytes()) })
    }
}

/// Names the public key (RFC 7638, RFC 8037 appendix A.3), as the operator names it in the key set.
fn thumbprint(key: &SigningKey) -> String {
    let x = URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes());
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    URL_SAFE_NO_PAD.encode(Sha256::digest(canonical))
}

/// 256 random bits, which mean nothing to anybody but this service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpaqueToken(Secret);

impl OpaqueToken {
    /// A new one.
    pub fn generate() -> Self {
        Self(Secret::new(URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())))
    }

    /// Whatever a client says is one.
    pub fn presented(text: String) -> Self {
        Self(Secret::new(text))
    }

    /// What the client keeps.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// What the database keeps. A plain hash is enough: 256 random bits cannot be guessed.
    pub fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.0.expose()).to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key and its thumbprint in appendix A of RFC 8037.
    #[test]
    fn the_thumbprint_is_that_of_the_standard() {
        let seed = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
        let key = SigningKey::from_bytes(&seed.try_into().unwrap());
        assert_eq!(thumbprint(&key), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn opaque_tokens_are_long_and_hidden() {
        let token = OpaqueToken::generate();
        assert_eq!(token.expose().len(), 43);
        assert_eq!(token.hash().len(), 32);
        assert_ne!(OpaqueToken::generate(), token);
        assert!(!format!("{token:?}").contains(token.expose()));
        assert_eq!(OpaqueToken::presented(token.expose().to_owned()).hash(), token.hash());
    }
}
