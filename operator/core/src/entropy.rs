//! Randomness as a fact: the caller reads a seed from the operating system, and everything random is derived from it.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// Letters and digits need no quoting in URLs.
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// 190 bits of 62 characters each.
const PASSWORD_LENGTH: usize = 32;

/// The randomness of one pass. Each value has a purpose; the same purpose gives the same value.
#[derive(Clone)]
pub struct Entropy([u8; 32]);

impl Entropy {
    /// From 256 random bits, which are used for nothing else.
    pub const fn new(seed: [u8; 32]) -> Self {
        Self(seed)
    }

    /// 256 bits.
    pub fn bytes(&self, purpose: &str) -> [u8; 32] {
        self.block(purpose, 0)
    }

    /// A password of letters and digits.
    pub fn password(&self, purpose: &str) -> String {
        let count = u8::try_from(ALPHABET.len()).expect("a byte counts 62 characters");
        // Bytes above the last multiple of 62 would make some characters more likely than others.
        let limit = u8::MAX - u8::MAX % count;
        let bytes = (0..).flat_map(|number| self.block(purpose, number));
        let fair = bytes.filter(|byte| *byte < limit);
        fair.take(PASSWORD_LENGTH)
            .map(|byte| char::from(ALPHABET[usize::from(byte % count)]))
            .collect()
    }

    fn block(&self, purpose: &str, number: u32) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(number.to_be_bytes());
        hash.update(purpose);
        hash.finalize().into()
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_differ_by_purpose_and_seed() {
        let (one, other) = (Entropy::new([1; 32]), Entropy::new([2; 32]));
        assert_eq!(one.password("a"), one.password("a"));
        assert_ne!(one.password("a"), one.password("b"));
        assert_ne!(one.password("a"), other.password("a"));
        assert_ne!(one.bytes("a"), one.bytes("b"));
        assert_ne!(one.bytes("a"), other.bytes("a"));
    }

    #[test]
    fn passwords_use_the_whole_alphabet_evenly() {
        let mut counts = [0_u32; 256];
        for seed in 0..=255 {
            let entropy = Entropy::new([seed; 32]);
            for number in 0..20 {
                let password = entropy.password(&number.to_string());
                assert_eq!(password.len(), PASSWORD_LENGTH);
                password.bytes().for_each(|byte| counts[usize::from(byte)] += 1);
            }
        }
        let used = ALPHABET.map(|byte| counts[usize::from(byte)]);
        assert_eq!(used.iter().sum::<u32>(), counts.iter().sum::<u32>());
        // 163,840 characters: 2,643 of each on average, standard deviation 51.
        assert!(used.iter().all(|count| (2_350..2_950).contains(count)), "{used:?}");
    }
}
