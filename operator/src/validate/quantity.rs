//! Amounts of CPU and memory, as far as they must be compared.

use k8s_openapi::{
    api::core::v1::ResourceRequirements, apimachinery::pkg::api::resource::Quantity,
};

/// Kubernetes' suffixes, as powers of a base.
/// <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>
const SUFFIXES: [(&str, f64, i32); 13] = [
    ("Ki", 1024.0, 1),
    ("Mi", 1024.0, 2),
    ("Gi", 1024.0, 3),
    ("Ti", 1024.0, 4),
    ("Pi", 1024.0, 5),
    ("Ei", 1024.0, 6),
    ("m", 1000.0, -1),
    ("k", 1000.0, 1),
    ("M", 1000.0, 2),
    ("G", 1000.0, 3),
    ("T", 1000.0, 4),
    ("P", 1000.0, 5),
    ("E", 1000.0, 6),
];

/// Thousandths of the unit. It is for comparing, where rounding beyond 15 digits does no harm.
pub(super) fn milli(quantity: &Quantity) -> Option<f64> {
    let text = quantity.0.trim();
    let (digits, factor) = SUFFIXES
        .iter()
        .find_map(|(suffix, base, power)| Some((text.strip_suffix(suffix)?, base.powi(*power))))
        .unwrap_or((text, 1.0));
    digits.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0).map(|n| n * factor * 1e3)
}

/// A part of a container's memory limit in whole MiB, or `default` if it has no limit.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a fraction of a MiB is left out on purpose, and milli() is never negative"
)]
pub(crate) fn memory_share(resources: &ResourceRequirements, parts: u32, default: u64) -> u64 {
    let limit = resources.limits.as_ref().and_then(|limits| limits.get("memory"));
    let mebibytes = limit.and_then(milli).map(|limit| limit / 1_048_576e3 / f64::from(parts));
    mebibytes.map_or(default, |mebibytes| mebibytes.max(1.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_understood() {
        let milli = |text: &str| milli(&Quantity(text.into()));
        for (text, expected) in
            [("100m", 100.0), ("1", 1e3), ("1.5", 1.5e3), ("1k", 1e6), ("1Ki", 1.024e6)]
        {
            assert_eq!(milli(text), Some(expected), "{text}");
        }
        assert!(milli("1Gi") > milli("1G"));
        assert_eq!(milli("much"), None);
    }
}
