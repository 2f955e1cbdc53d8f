//! Rotation of the key that access tokens are signed with.
//!
//! The public keys are those of the current, the next and the previous private key. The next key is published as soon
//! as it is made and used a rotation later, so that every service has it before a token names it; the previous one stays
//! published until no token of it can be valid.

use ed25519_dalek::pkcs8;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Content, keys};
use crate::build::SecretKey;
use crate::entropy::Entropy;

/// How long a key signs.
const INTERVAL: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How long a key is published before it signs. Kubelets bring a changed Secret to pods within two minutes.
const LEAD: SignedDuration = SignedDuration::from_mins(10);
/// How long the previous key is published. Tokens are valid for five minutes; a pod of `user` that cannot be replaced
/// has until then to read the new key.
const OVERLAP: SignedDuration = SignedDuration::from_hours(24);

/// The private keys as they should be now. `requested` is what the Shop's annotation says: each new value is one
/// rotation, as soon as the next key has been published for long enough.
pub(super) fn advance(
    old: &Content,
    requested: Option<&str>,
    now: Timestamp,
    entropy: &Entropy,
) -> Result<Content, pkcs8::Error> {
    let kept = |key: &str| old.get(key).filter(|value| !value.is_empty()).cloned();
    let requested = requested.unwrap_or_default();
    let new_key = || keys::signing_key(&entropy.bytes(SecretKey::NEXT_KEY));
    let Some(current) = kept(SecretKey::SIGNING_KEY) else {
        // Neither was published, and nothing that was signed before is to be valid.
        let current = keys::signing_key(&entropy.bytes(SecretKey::SIGNING_KEY))?;
        let next = new_key()?;
        return Ok(content(current, next, None, now, requested));
    };
    let (previous, answered) = (kept(SecretKey::PREVIOUS_KEY), kept(SecretKey::ROTATION_REQUEST));
    let answered = answered.unwrap_or_default();
    let published = kept(SecretKey::PUBLISHED_AT).and_then(|at| at.parse().ok());
    let published = published.filter(|at: &Timestamp| *at <= now);
    let (Some(next), Some(published)) = (kept(SecretKey::NEXT_KEY), published) else {
        // Of an operator that made one key, or written by hand: the lead of the next key begins now.
        return Ok(content(current, new_key()?, previous, now, &answered));
    };
    let age = now.duration_since(published);
    let due = age >= INTERVAL || (age >= LEAD && !requested.is_empty() && requested != answered);
    if due {
        let previous = Some(keys::public_key(&current)?.to_string());
        return Ok(content(next, new_key()?, previous, now, requested));
    }
    let previous = previous.filter(|_| age < OVERLAP);
    Ok(content(current, next, previous, published, &answered))
}

fn content(
    current: String,
    next: String,
    previous: Option<String>,
    published: Timestamp,
    answered: &str,
) -> Content {
    let mut content = Content::from([
        (SecretKey::SIGNING_KEY.to_owned(), current),
        (SecretKey::NEXT_KEY.to_owned(), next),
        (SecretKey::PUBLISHED_AT.to_owned(), published.to_string()),
        (SecretKey::ROTATION_REQUEST.to_owned(), answered.to_owned()),
    ]);
    content.extend(previous.map(|key| (SecretKey::PREVIOUS_KEY.to_owned(), key)));
    content
}

/// The JSON Web Key Set (RFC 7517) of the private keys, the one that signs first.
pub(super) fn public_keys(private: &Content) -> Result<String, pkcs8::Error> {
    let get = |key: &str| private.get(key).map_or("", String::as_str);
    let mut keys = vec![keys::public_key(get(SecretKey::SIGNING_KEY))?];
    if private.contains_key(SecretKey::NEXT_KEY) {
        keys.push(keys::public_key(get(SecretKey::NEXT_KEY))?);
    }
    keys.extend(serde_json::from_str::<Value>(get(SecretKey::PREVIOUS_KEY)).ok());
    Ok(json!({ "keys": keys }).to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    /// Rotates with randomness of its own.
    fn advance(
        old: &Content,
        requested: Option<&str>,
        now: Timestamp,
    ) -> Result<Content, pkcs8::Error> {
        static SEED: AtomicU8 = AtomicU8::new(0);
        let seed = SEED.fetch_add(1, Ordering::Relaxed);
        super::advance(old, requested, now, &Entropy::new([seed; 32]))
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn start() -> Timestamp {
        at("2026-01-01T00:00:00Z")
    }

    fn fresh() -> Content {
        advance(&Content::new(), None, start()).unwrap()
    }

    fn get<'c>(content: &'c Content, key: &str) -> Option<&'c str> {
        content.get(key).map(String::as_str)
    }

    fn kids(content: &Content) -> Vec<String> {
        let set: Value = serde_json::from_str(&public_keys(content).unwrap()).unwrap();
        let keys = set["keys"].as_array().unwrap();
        assert!(keys.iter().all(|key| key.get("d").is_none()), "no private half: {set}");
        keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_next_key_is_published_before_it_signs() {
        let before = fresh();
        let [current, next] = kids(&before).try_into().unwrap();
        let due = start() + INTERVAL;
        let early = advance(&before, None, due - SignedDuration::from_secs(1)).unwrap();
        assert_eq!(early, before);

        let after = advance(&before, None, due).unwrap();
        assert_eq!(get(&after, SecretKey::SIGNING_KEY), get(&before, SecretKey::NEXT_KEY));
        let published = kids(&after);
        assert_eq!((&published[0], &published[2]), (&next, &current));
        assert!(!kids(&before).contains(&published[1]), "the one after the next is new");
    }

    #[test]
    fn the_previous_key_is_published_until_its_tokens_expired() {
        let rotated_at = start() + INTERVAL;
        let rotated = advance(&fresh(), None, rotated_at).unwrap();
        let late = rotated_at + OVERLAP - SignedDuration::from_secs(1);
        assert_eq!(advance(&rotated, None, late).unwrap(), rotated);
        let over = advance(&rotated, None, rotated_at + OVERLAP).unwrap();
        assert_eq!(kids(&over), kids(&rotated)[..2]);
        assert_eq!(get(&over, SecretKey::SIGNING_KEY), get(&rotated, SecretKey::SIGNING_KEY));
        // Nothing private of it was kept at any time.
        let previous = get(&rotated, SecretKey::PREVIOUS_KEY).unwrap();
        assert!(!previous.contains("PRIVATE"), "{previous}");
    }

    #[test]
    fn each_new_request_rotates_once_after_the_lead() {
        let before = fresh();
        let early = advance(&before, Some("leak"), start() + SignedDuration::from_mins(9)).unwrap();
        assert_eq!(early, before, "pods may not have the next key");
        let once = advance(&before, Some("leak"), start() + LEAD).unwrap();
        assert_eq!(get(&once, SecretKey::SIGNING_KEY), get(&before, SecretKey::NEXT_KEY));
        let later = start() + LEAD + LEAD;
        assert_eq!(advance(&once, Some("leak"), later).unwrap(), once, "it was answered");
        assert_eq!(advance(&once, None, later).unwrap(), once);
        let twice = advance(&once, Some("audit"), later).unwrap();
        assert_eq!(get(&twice, SecretKey::SIGNING_KEY), get(&once, SecretKey::NEXT_KEY));
    }

    #[test]
    fn a_key_of_an_older_operator_signs_on_with_a_next_one_beside_it() {
        let key = keys::signing_key(&[9; 32]).unwrap();
        let old = Content::from([(SecretKey::SIGNING_KEY.to_owned(), key.clone())]);
        let new = advance(&old, Some("now"), start()).unwrap();
        assert_eq!(get(&new, SecretKey::SIGNING_KEY), Some(key.as_str()));
        assert_eq!(kids(&new).len(), 2);
        assert_eq!(kids(&new)[..1], kids(&old)[..]);
        let rotated = advance(&new, Some("now"), start() + LEAD).unwrap();
        assert_eq!(get(&rotated, SecretKey::SIGNING_KEY), get(&new, SecretKey::NEXT_KEY));
    }

    #[test]
    fn a_lost_key_leaves_none_of_the_old_ones() {
        let mut lost = advance(&fresh(), None, start() + INTERVAL).unwrap();
        let old = kids(&lost);
        lost.insert(SecretKey::SIGNING_KEY.to_owned(), String::new());
        let new = kids(&advance(&lost, None, start() + INTERVAL).unwrap());
        assert_eq!(new.len(), 2);
        assert!(new.iter().all(|kid| !old.contains(kid)));
    }

    #[test]
    fn a_time_that_cannot_be_only_delays_the_next_rotation() {
        for time in ["2027-01-01T00:00:00Z", "yesterday"] {
            let mut odd = fresh();
            odd.insert(SecretKey::PUBLISHED_AT.to_owned(), time.to_owned());
            let mended = advance(&odd, None, start()).unwrap();
            assert_eq!(get(&mended, SecretKey::SIGNING_KEY), get(&odd, SecretKey::SIGNING_KEY));
            assert_eq!(get(&mended, SecretKey::PUBLISHED_AT), Some("2026-01-01T00:00:00Z"));
        }
    }
}
