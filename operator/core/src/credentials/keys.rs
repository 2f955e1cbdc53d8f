//! The key pair that access tokens are signed and verified with.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{self, DecodePrivateKey as _, EncodePrivateKey as _};
use ed25519_dalek::{SigningKey, VerifyingKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The Ed25519 private key of a seed as PKCS#8 PEM (RFC 8410).
pub(super) fn signing_key(seed: &[u8; 32]) -> Result<String, pkcs8::Error> {
    let pem = SigningKey::from_bytes(seed).to_pkcs8_pem(LineEnding::LF)?;
    Ok(pem.as_str().to_owned())
}

/// The public half of a private key as a JSON Web Key (RFC 7517, RFC 8037).
pub(super) fn public_key(signing_key_pem: &str) -> Result<Value, pkcs8::Error> {
    let public = SigningKey::from_pkcs8_pem(signing_key_pem)?.verifying_key();
    Ok(json!({
        "kty": "OKP", "crv": "Ed25519", "x": x(&public),
        "kid": thumbprint(&public), "use": "sig", "alg": "EdDSA",
    }))
}

fn x(key: &VerifyingKey) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(key.as_bytes())
}

/// RFC 7638: SHA-256 of the required members in the order of their names, without spaces.
fn thumbprint(key: &VerifyingKey) -> String {
    let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, x(key));
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(members))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_has_its_public_half() {
        let pem = signing_key(&[1; 32]).unwrap();
        assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        let public = public_key(&pem).unwrap();
        assert_eq!(public["kty"], "OKP");
        assert_eq!(public["x"].as_str().unwrap().len(), 43);
        assert_ne!(signing_key(&[2; 32]).unwrap(), pem);
    }

    /// The key and its thumbprint in appendix A of RFC 8037.
    #[test]
    fn the_thumbprint_is_that_of_the_standard() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let bytes: [u8; 32] = BASE64_URL_SAFE_NO_PAD.decode(x).unwrap().try_into().unwrap();
        let key = VerifyingKey::from_bytes(&bytes).unwrap();
        assert_eq!(thumbprint(&key), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }
}
