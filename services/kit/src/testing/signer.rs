//! Tokens as the user service would sign them.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use contracts::UserId;
use ed25519_dalek::SigningKey;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use uuid::Uuid;

use crate::auth::{ACCESS, Claims, Role};

/// Signs tokens as the user service would.
pub struct Signer {
    key: SigningKey,
    /// Where the private key is, in PKCS#8 PEM.
    pub key_file: PathBuf,
    /// Where the public key is, as a JSON Web Key Set.
    pub jwks_file: PathBuf,
}

/// `iss` and `aud` in tests.
pub const ISSUER: &str = "test";

impl Signer {
    /// A new key in a new folder.
    pub fn new() -> Self {
        use ed25519_dalek::pkcs8::EncodePrivateKey;
        let key = SigningKey::from_bytes(&rand::random());
        let folder = std::env::temp_dir().join(format!("shop-test-{}", Uuid::now_v7()));
        std::fs::create_dir_all(&folder).expect("the temporary folder is writable");
        let (key_file, jwks_file) = (folder.join("key.pem"), folder.join("jwks.json"));
        let pem = key
            .to_pkcs8_pem(ed25519_dalek::pkcs8::spki::der::pem::LineEnding::default())
            .expect("the key is valid");
        std::fs::write(&key_file, pem.as_bytes()).expect("the folder is writable");
        let signer = Self { key, key_file, jwks_file };
        signer.publish(&[&signer]);
        signer
    }

    /// Replaces the key set by the keys of these signers, as a rotation does.
    pub fn publish(&self, signers: &[&Self]) {
        let key = |signer: &&Self| {
            serde_json::json!({
                "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig",
                "kid": Self::kid(&signer.key),
                "x": URL_SAFE_NO_PAD.encode(signer.key.verifying_key().as_bytes()),
            })
        };
        let keys: Vec<_> = signers.iter().map(key).collect();
        let jwks = serde_json::json!({ "keys": keys });
        std::fs::write(&self.jwks_file, jwks.to_string()).expect("the folder is writable");
    }

    /// Thumbprint of the public key (RFC 7638, RFC 8037 appendix A.3).
    fn kid(key: &SigningKey) -> String {
        use sha2::{Digest, Sha256};
        let x = URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes());
        let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        URL_SAFE_NO_PAD.encode(Sha256::digest(canonical))
    }

    /// Claims of a good token.
    pub fn claims(user: UserId, roles: &[Role]) -> Claims {
        let now = Utc::now().timestamp();
        Claims {
            iss: ISSUER.to_owned(),
            aud: ISSUER.to_owned(),
            sub: user,
            exp: now + 300,
            iat: now,
            nbf: now,
            jti: Uuid::now_v7(),
            typ: ACCESS.to_owned(),
            roles: roles.to_vec(),
            email_verified: None,
            sid: None,
        }
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Claims) -> String {
        use ed25519_dalek::pkcs8::EncodePrivateKey;
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(Self::kid(&self.key));
        let der = self.key.to_pkcs8_der().expect("the key is valid");
        let key = EncodingKey::from_ed_der(der.as_bytes());
        jsonwebtoken::encode(&header, claims, &key).expect("claims are plain values")
    }

    /// A good token.
    pub fn token(&self, user: UserId, roles: &[Role]) -> String {
        self.sign(&Self::claims(user, roles))
    }
}

impl Default for Signer {
    fn default() -> Self {
        Self::new()
    }
}
