//! Amounts of CPU, memory and storage: to compare them, and to write them as the API server does.
//! <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::ResourceRequirements, apimachinery::pkg::api::resource::Quantity,
};

/// Suffixes of powers of 1024. The first is never read as one: it is decimal too.
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
/// Suffixes of powers of 1000, from the one below zero.
const DECIMAL: [&str; 8] = ["m", "", "k", "M", "G", "T", "P", "E"];

/// Thousandths of the unit, and whether the suffix is a power of 1024. None of a text that the
/// schema does not admit.
fn parse(text: &str) -> Option<(i128, bool)> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let suffix = &text[number.len()..];
    let power = |suffixes: &[&str]| suffixes.iter().position(|s| *s == suffix)?.try_into().ok();
    // Thousandths of a number are whole, because it has three decimals at most; thousandths of
    // the unit are the power below it, with which the decimal suffixes begin.
    let (base, exponent, below): (i128, u32, i128) = match power(&DECIMAL) {
        Some(exponent) => (1000, exponent, 1000),
        None => (1024, power(&BINARY)?, 1),
    };
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let thousandths: i128 = format!("{whole}{decimals:0<3}").parse().ok()?;
    let milli = thousandths.checked_mul(base.checked_pow(exponent)?)? / below;
    (!whole.is_empty() && decimals.len() <= 3 && milli >= 0).then_some((milli, base == 1024))
}

/// Thousandths of the unit.
pub(super) fn milli(quantity: &Quantity) -> Option<i128> {
    parse(&quantity.0).map(|(milli, _)| milli)
}

/// Whether one amount is less than another; an amount that is none is not.
pub fn is_less(one: &Quantity, other: &Quantity) -> bool {
    milli(one).zip(milli(other)).is_some_and(|(one, other)| one < other)
}

/// The same amount as the API server writes it down, e.g. `1Gi` for `1024Mi`, so that what stands
/// in the cluster equals what was sent.
pub(super) fn canonical(quantity: &Quantity) -> Quantity {
    let Some((milli, binary)) = parse(&quantity.0) else { return quantity.clone() };
    let whole = milli % 1000 == 0;
    let (mut amount, base, suffixes) = if binary && whole && milli >= 1_024_000 {
        (milli / 1000, 1024, BINARY.as_slice())
    } else {
        (milli, 1000, DECIMAL.as_slice())
    };
    if amount == 0 {
        return Quantity("0".into());
    }
    let mut power = 0;
    while amount % base == 0 && power + 1 < suffixes.len() {
        amount /= base;
        power += 1;
    }
    Quantity(format!("{amount}{}", suffixes[power]))
}

/// Each amount in its canonical form.
pub(super) fn canonical_map(quantities: &BTreeMap<String, Quantity>) -> BTreeMap<String, Quantity> {
    quantities.iter().map(|(name, amount)| (name.clone(), canonical(amount))).collect()
}

/// A part of a container's memory limit in whole MiB, or `default` if it has no limit.
pub(crate) fn memory_share(resources: &ResourceRequirements, parts: i128, default: i128) -> i128 {
    let limit = resources.limits.as_ref().and_then(|limits| limits.get("memory"));
    let share = limit.and_then(milli).map(|limit| limit / (1000 * 1024 * 1024) / parts);
    share.map_or(default, |mebibytes| mebibytes.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_understood() {
        let milli = |text: &str| milli(&Quantity(text.into()));
        let cases = [
            ("100m", Some(100)),
            ("1", Some(1000)),
            ("1.5", Some(1500)),
            ("0.125", Some(125)),
            ("1k", Some(1_000_000)),
            ("1Ki", Some(1_024_000)),
            ("1.5Gi", Some(1_610_612_736_000)),
            ("1E", Some(1_000_000_000_000_000_000_000)),
            ("much", None),
            ("1K", None),
            ("-1", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(milli(text), expected, "{text}");
        }
    }

    /// What Kubernetes 1.34 made of them.
    #[test]
    fn amounts_are_written_as_the_api_server_does() {
        let cases = [
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("0.5", "500m"),
            ("1.5", "1500m"),
            ("12000", "12k"),
            ("1200", "1200"),
            ("1024Mi", "1Gi"),
            ("1536Mi", "1536Mi"),
            ("1.5Gi", "1536Mi"),
            ("2Gi", "2Gi"),
            ("0.5Ki", "512"),
            ("1Ki", "1Ki"),
            ("0.001Ki", "1024m"),
            ("1000Ki", "1000Ki"),
            ("1000M", "1G"),
            ("0Gi", "0"),
        ];
        for (text, expected) in cases {
            assert_eq!(canonical(&Quantity(text.into())).0, expected, "{text}");
        }
    }

    #[test]
    fn the_canonical_form_is_the_same_amount() {
        for text in ["7m", "3.25", "999k", "1.001Mi", "0.3Ti", "42Pi"] {
            let quantity = Quantity(text.into());
            let once = canonical(&quantity);
            assert_eq!(milli(&once), milli(&quantity), "{text}");
            assert_eq!(canonical(&once), once, "{text}");
        }
    }
}
