//! Amounts as Stripe counts them. Its minor units are its own: for some currencies they differ from those of
//! ISO 4217, which the shop counts in.

use contracts::{Currency, Money};

/// Currencies without minor units ("zero-decimal currencies").
/// (<https://docs.stripe.com/currencies#zero-decimal>)
const ZERO: [&str; 15] = [
    "BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF",
    "XOF", "XPF",
];
/// Currencies of three digits, the last of which must be zero.
/// (<https://docs.stripe.com/currencies#three-decimal>)
const THREE: [&str; 5] = ["BHD", "JOD", "KWD", "OMR", "TND"];
/// Listed as without minor units, but counted in hundredths, which must be zero. HUF and TWD, the other two special
/// cases, are so in payouts alone: charges have two digits.
/// (<https://docs.stripe.com/currencies#special-cases>)
const WHOLE: [&str; 2] = ["ISK", "UGX"];

/// The amount to put into a request; none: Stripe cannot take exactly so much.
pub(super) fn units(money: Money) -> Option<i64> {
    let (more, step) = scale(money.currency)?;
    let amount = shift(money.amount, more)?;
    (amount % step == 0).then_some(amount)
}

/// The amount that an answer means; none: the shop cannot count exactly so much.
pub(super) fn money(amount: i64, currency: Currency) -> Option<Money> {
    let (more, _) = scale(currency)?;
    Some(Money::new(shift(amount, -more)?, currency))
}

/// How many more digits Stripe counts than the shop, and what amounts are multiples of.
fn scale(currency: Currency) -> Option<(i32, i64)> {
    let code = currency.as_str();
    let (digits, step) = match code {
        _ if ZERO.contains(&code) => (0, 1),
        _ if THREE.contains(&code) => (3, 10),
        _ if WHOLE.contains(&code) => (2, 100),
        _ => (2, 1),
    };
    Some((digits - i32::try_from(currency.exponent()).ok()?, step))
}

/// The amount in units that are smaller by so many digits, or larger; none: it does not fit, or not exactly.
fn shift(amount: i64, digits: i32) -> Option<i64> {
    let factor = 10_i64.checked_pow(digits.unsigned_abs())?;
    if digits >= 0 {
        return amount.checked_mul(factor);
    }
    (amount % factor == 0).then(|| amount / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(amount: i64, code: &str) -> Option<i64> {
        units(Money::new(amount, code.parse().unwrap()))
    }

    /// Every currency that the shop knows, whichever those are.
    fn all() -> Vec<Currency> {
        let letters = || (b'A'..=b'Z').map(char::from);
        let codes = letters().flat_map(|a| letters().map(move |b| [a, b]));
        let codes = codes.flat_map(|[a, b]| letters().map(move |c| String::from_iter([a, b, c])));
        codes.filter_map(|code| code.parse().ok()).collect()
    }

    /// As Stripe publishes them: what is written for seven of each, "two-decimal unless noted".
    #[test]
    fn seven_of_every_currency_are_what_stripe_publishes() {
        let zero = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF";
        let three = "BHD JOD KWD OMR TND";
        let currencies = all();
        assert!(currencies.len() > 150, "{currencies:?}");
        for currency in currencies {
            let code = currency.as_str();
            let seven = Money::new(7 * 10_i64.pow(currency.exponent()), currency);
            let expected = match code {
                _ if zero.contains(code) => 7,
                _ if three.contains(code) => 7000,
                _ => 700,
            };
            assert_eq!(units(seven), Some(expected), "{code}");
            assert_eq!(money(expected, currency), Some(seven), "{code}");
        }
    }

    #[test]
    fn what_stripe_cannot_count_is_not_charged() {
        assert_eq!(count(1999, "EUR"), Some(1999));
        assert_eq!(count(1999, "JPY"), Some(1999));
        assert_eq!((count(199_900, "MGA"), count(1999, "MGA")), (Some(1999), None));
        assert_eq!((count(1990, "KWD"), count(1999, "KWD")), (Some(1990), None));
        assert_eq!((count(1999, "HUF"), count(1999, "TWD")), (Some(1999), Some(1999)));
        assert_eq!((count(1999, "ISK"), count(1999, "UGX")), (Some(199_900), Some(199_900)));
        assert_eq!(count(i64::MAX, "UGX"), None);
    }
}
