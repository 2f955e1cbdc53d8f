//! Signatures of webhooks, in Stripe's scheme: `t=<seconds>,v1=<hex>[,v1=<hex>]`, where `v1` is the
//! HMAC-SHA256 over `<t>.<body>`, byte for byte as it came.
//! (<https://docs.stripe.com/webhooks#verify-manually>)

use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac};
use kit::secret::Secret;
use sha2::Sha256;

/// The header.
pub const HEADER: &str = "stripe-signature";
/// How far the time of signing may be from ours, either way, in seconds.
const TOLERANCE: i64 = 300;

/// The secrets that a provider may sign with: while one is exchanged for another, there are two.
#[derive(Clone, Debug)]
pub struct Secrets(Vec<Secret>);

/// The text holds no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a comma-separated list of secrets is empty")]
pub struct NoSecret;

impl std::str::FromStr for Secrets {
    type Err = NoSecret;

    fn from_str(text: &str) -> Result<Self, NoSecret> {
        let secrets: Vec<_> = text
            .split([',', '\n'])
            .map(str::trim)
            .filter(|secret| !secret.is_empty())
            .map(Secret::new)
            .collect();
        if secrets.is_empty() { Err(NoSecret) } else { Ok(Self(secrets)) }
    }
}

/// Why a webhook is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not of the form that it should have.
    #[error("the header cannot be read")]
    Unreadable,
    /// Signed long ago, or by a clock that is ahead.
    #[error("it was not signed within {TOLERANCE} seconds")]
    Time,
    /// No signature is one of ours.
    #[error("no signature fits the body")]
    Mismatch,
}

impl Secrets {
    /// Believes a body, or says why not.
    pub fn verify(
        &self,
        header: &str,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<(), SignatureError> {
        let (time, signatures) = read(header).ok_or(SignatureError::Unreadable)?;
        // The digits as they came: they are what was signed.
        let seconds: i64 = time.parse().map_err(|_| SignatureError::Unreadable)?;
        let age = now.timestamp().checked_sub(seconds).ok_or(SignatureError::Time)?;
        if age.unsigned_abs() > TOLERANCE.unsigned_abs() {
            return Err(SignatureError::Time);
        }
        // Every secret is tried with every signature, whichever fits.
        let fits = |secret: &Secret| {
            let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes())
                .expect("a key of any length will do");
            mac.update(time.as_bytes());
            mac.update(b".");
            mac.update(body);
            // In constant time.
            signatures.iter().any(|signature| mac.clone().verify_slice(signature).is_ok())
        };
        if self.0.iter().any(fits) { Ok(()) } else { Err(SignatureError::Mismatch) }
    }
}

/// The time and the signatures of scheme `v1`; others are of no interest.
fn read(header: &str) -> Option<(&str, Vec<Vec<u8>>)> {
    let (mut time, mut signatures) = (None, Vec::new());
    for part in header.split(',') {
        match part.trim().split_once('=')? {
            ("t", value) if time.is_none() => time = Some(value),
            ("t", _) => return None,
            ("v1", value) => signatures.push(bytes(value)?),
            _ => {}
        }
    }
    // Whoever sends a thousand signatures wants to keep us busy.
    (1..=16).contains(&signatures.len()).then_some((time?, signatures))
}

/// Bytes of hexadecimal digits.
fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = hex.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"id": "evt_1"}"#;
    // openssl: printf '1800000000.{"id": "evt_1"}' | openssl dgst -sha256 -hmac whsec_old
    const OLD: &str = "ff41866c2427e00924c42514858c1d5186d8b3ad376293e46701cac6bdebd0ab";
    const NEW: &str = "a1b3a40a6ddb6b0698bdab16cefd85f0b11e2bc28cd24b1ff64d381f26c36c97";

    fn verify(secrets: &str, header: &str, body: &[u8], late: i64) -> Result<(), SignatureError> {
        let now = DateTime::from_timestamp(1_800_000_000 + late, 0).unwrap();
        secrets.parse::<Secrets>().unwrap().verify(header, body, now)
    }

    #[test]
    fn what_a_known_secret_has_signed_is_believed() {
        let header = format!("t=1800000000,v1={OLD}");
        for secrets in ["whsec_old", "whsec_new, whsec_old", "whsec_old,\nwhsec_new\n"] {
            assert_eq!(verify(secrets, &header, BODY, 0), Ok(()), "{secrets:?}");
        }
        // The provider signs with both while it changes over, and knows further schemes.
        let both = format!("t=1800000000,v1={NEW},v1={OLD},v0=00");
        for secret in ["whsec_old", "whsec_new"] {
            assert_eq!(verify(secret, &both, BODY, 0), Ok(()));
        }
        assert_eq!(verify("whsec_other", &both, BODY, 0), Err(SignatureError::Mismatch));
    }

    #[test]
    fn another_body_or_time_is_not() {
        let header = format!("t=1800000000,v1={OLD}");
        for body in [&br#"{"id":"evt_1"}"#[..], br#"{"id": "evt_2"}"#, b""] {
            assert_eq!(verify("whsec_old", &header, body, 0), Err(SignatureError::Mismatch));
        }
        let moved = format!("t=1800000001,v1={OLD}");
        assert_eq!(verify("whsec_old", &moved, BODY, 0), Err(SignatureError::Mismatch));
        for (late, answer) in [(300, Ok(())), (301, Err(SignatureError::Time))] {
            assert_eq!(verify("whsec_old", &header, BODY, late), answer);
            assert_eq!(verify("whsec_old", &header, BODY, -late), answer);
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let twice = format!("t=1800000000,t=1800000000,v1={OLD}");
        let flood = format!("t=1800000000{}", format!(",v1={OLD}").repeat(17));
        for header in
            ["", "t=", "t=1800000000", "v1=00", "t=x,v1=00", "t=1800000000,v1=0", &twice, &flood]
        {
            let refused = verify("whsec_old", header, BODY, 0);
            assert_eq!(refused, Err(SignatureError::Unreadable), "{header:?}");
        }
        let short = "t=1800000000,v1=";
        assert_eq!(verify("whsec_old", short, BODY, 0), Err(SignatureError::Mismatch));
        let never = format!("t={},v1={OLD}", i64::MIN);
        assert_eq!(verify("whsec_old", &never, BODY, 0), Err(SignatureError::Time));
        assert!(" ,\n".parse::<Secrets>().is_err());
    }
}
