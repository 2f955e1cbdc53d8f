//! Countries.

/// Kosovo: assigned by nobody in ISO 3166-1, used by the EU, the Universal Postal Union's members and payment providers.
const KOSOVO: &str = "XK";

/// Whether parcels can be sent there: a code of ISO 3166-1 alpha-2 that is assigned now, in capital letters, or Kosovo's.
pub fn is_country(code: &str) -> bool {
    code == KOSOVO || rust_iso3166::from_alpha2(code).is_some_and(|country| country.alpha2 == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_are_those_of_today() {
        for code in ["DE", "GB", "US", "TW", "SS", "CW", "SX", "BQ", "AX", "GG", "XK"] {
            assert!(is_country(code), "{code}");
        }
        for code in [
            "AN", "ZZ", "AA", "YU", "CS", "SU", "UK", "EU", "XX", "QM", "de", "De", "DEU", "276",
            "", "ÄÖ",
        ] {
            assert!(!is_country(code), "{code}");
        }
    }
}
