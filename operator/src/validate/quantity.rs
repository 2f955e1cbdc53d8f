//! Amounts of CPU and memory, as far as they must be compared.

use k8s_openapi::{
    api::core::v1::ResourceRequirements, apimachinery::pkg::api::resource::Quantity,
};

/// Multipliers of Kubernetes' suffixes, in thousandths.
/// <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>
const SUFFIXES: [(&str, f64); 14] = [
    ("Ki", 1024e3),
    ("Mi", 1_048_576e3),
    ("Gi", 1_073_741_824e3),
    ("Ti", 1_099_511_627_776e3),
    ("Pi", 1_125_899_906_842_624e3),
    ("Ei", 1_152_921_504_606_846_976e3),
    ("m", 1.0),
    ("k", 1e6),
    ("K", 1e6),
    ("M", 1e9),
    ("G", 1e12),
    ("T", 1e15),
    ("P", 1e18),
    ("E", 1e21),
];

/// Thousandths of the unit. It is for comparing, where rounding beyond 15 digits does no harm.
pub(super) fn milli(quantity: &Quantity) -> Option<f64> {
    let text = quantity.0.trim();
    let (digits, factor) = SUFFIXES
        .iter()
        .find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor)))
        .unwrap_or((text, 1e3));
    digits
        .parse::<f64>()
        .ok()
        .filter(|n| n.is_finite() && *n >= 0.0)
        .map(|n| n * factor)
}

/// A part of a container's memory limit in whole MiB, or `default` if it has no limit.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a fraction of a MiB is left out on purpose, and milli() is never negative"
)]
pub(crate) fn memory_share(resources: &ResourceRequirements, parts: u32, default: u64) -> u64 {
    let limit = resources
        .limits
        .as_ref()
        .and_then(|limits| limits.get("memory"));
    let mebibytes = limit
        .and_then(milli)
        .map(|limit| limit / 1_048_576e3 / f64::from(parts));
    mebibytes.map_or(default, |mebibytes| mebibytes.max(1.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_understood() {
        let milli = |text: &str| milli(&Quantity(text.into()));
        for (text, expected) in [
            ("100m", 100.0),
            ("1", 1e3),
            ("1.5", 1.5e3),
            ("1k", 1e6),
            ("1Ki", 1.024e6),
        ] {
            assert_eq!(milli(text), Some(expected), "{text}");
        }
        assert!(milli("1Gi") > milli("1G"));
        assert_eq!(milli("much"), None);
    }
}
