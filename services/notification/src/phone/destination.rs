//! Where short messages may go to.

use std::str::FromStr;

use contracts::Phone;

/// Country codes of two digits (ITU-T E.164, list of assigned codes); those of one are 1 and 7, all others have three.
const TWO_DIGITS: [&str; 44] = [
    "20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45", "46", "47",
    "48", "49", "51", "52", "53", "54", "55", "56", "57", "58", "60", "61", "62", "63", "64", "65",
    "66", "81", "82", "84", "86", "90", "91", "92", "93", "94", "95", "98",
];
/// Codes of no country: free phones, shared costs, satellites, networks, premium rates, telegrams. The price of a
/// message there is not known before.
const NO_COUNTRY: [&str; 9] = ["800", "808", "870", "878", "881", "882", "883", "888", "979"];

/// The countries that the shop sends short messages to, by what numbers begin with; empty: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Countries(Vec<String>);

/// The text is no list of countries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a comma-separated list of country codes of telephone numbers, such as +49,+43")]
pub struct CountriesError;

impl FromStr for Countries {
    type Err = CountriesError;

    fn from_str(text: &str) -> Result<Self, CountriesError> {
        let read = |code: &str| {
            let digits = code.strip_prefix('+').filter(|digits| (1..=7).contains(&digits.len()))?;
            let valid = !digits.starts_with('0') && digits.bytes().all(|c| c.is_ascii_digit());
            valid.then(|| code.to_owned())
        };
        let codes = text.split(',').map(str::trim).filter(|code| !code.is_empty());
        codes.map(read).collect::<Option<_>>().map(Self).ok_or(CountriesError)
    }
}

impl Countries {
    /// Whether none was named.
    pub fn are_all(&self) -> bool {
        self.0.is_empty()
    }

    fn contain(&self, number: &str) -> bool {
        self.are_all() || self.0.iter().any(|code| number.starts_with(code))
    }
}

/// A number that a short message can go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// E.164.
    pub number: String,
    /// What numbers of its country begin with. Those of +1, which is many countries, are distinguished by their area.
    pub country: String,
}

/// Why no message goes there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// It is no number, or its country is missing.
    #[error("must be a number with its country's code, like +49 151 12345678")]
    NoNumber,
    /// A person behind a switchboard.
    #[error("short messages do not reach an extension: leave it out")]
    Extension,
    /// Satellites, premium rates, free phones and the like.
    #[error("short messages go to numbers of countries only")]
    NoCountry,
    /// The operator has not named it.
    #[error("this shop sends no short messages to that country")]
    Country,
}

impl Destination {
    /// Reads a number as people write it.
    pub fn read(text: &str, countries: &Countries) -> Result<Self, DestinationError> {
        let read: Phone = text.parse().map_err(|_| DestinationError::NoNumber)?;
        if read.extension.is_some() {
            return Err(DestinationError::Extension);
        }
        if !read.international {
            return Err(DestinationError::NoNumber);
        }
        let digits = read.digits;
        let number = format!("+{digits}");
        let country = country(&digits);
        if NO_COUNTRY.contains(&country) {
            return Err(DestinationError::NoCountry);
        }
        if !countries.contain(&number) {
            return Err(DestinationError::Country);
        }
        Ok(Self { country: format!("+{country}"), number })
    }
}

/// What numbers of the country of these digits begin with.
fn country(digits: &str) -> &str {
    let length = match digits.as_bytes().first() {
        Some(b'1') => 4,
        Some(b'7') => 1,
        _ if TWO_DIGITS.iter().any(|code| digits.starts_with(code)) => 2,
        _ => 3,
    };
    digits.get(..length).unwrap_or(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        let all = Countries::default();
        for (text, number, country) in [
            ("+4915112345678", "+4915112345678", "+49"),
            (" +49 (0)151 / 123-456.78 ", "+4915112345678", "+49"),
            ("0049 151 12345678", "+4915112345678", "+49"),
            ("+1 (202) 555-0123", "+12025550123", "+1202"),
            ("+1 876 555 0123", "+18765550123", "+1876"),
            ("+7 912 345 67 89", "+79123456789", "+7"),
            ("+420 601 123 456", "+420601123456", "+420"),
            ("+98 912 345 6789", "+989123456789", "+98"),
            ("+1234567", "+1234567", "+1234"),
        ] {
            let read = Destination::read(text, &all).unwrap();
            assert_eq!((&*read.number, &*read.country), (number, country), "{text}");
        }
        for text in [
            "",
            "+",
            "015112345678",
            "+0491511234567",
            "+1234567890123456",
            "+49a5112345678",
            "+123456",
            "+٤٩١٥١١٢٣٤٥٦٧٨",
        ] {
            let read = Destination::read(text, &all);
            assert_eq!(read, Err(DestinationError::NoNumber), "{text}");
        }
    }

    #[test]
    fn some_numbers_get_no_messages_and_the_reason_says_so() {
        let home: Countries = "+49, +1202".parse().unwrap();
        let read = |text: &str| Destination::read(text, &home);
        assert!(read("+4915112345678").is_ok() && read("+12025550123").is_ok());
        for text in ["+49 30 123456 ext. 12", "+4930123456x12", "+4930123456;ext=12", "+4930123 #1"]
        {
            assert_eq!(read(text), Err(DestinationError::Extension), "{text}");
        }
        assert_eq!(read("+979 123 456 789"), Err(DestinationError::NoCountry));
        assert_eq!(read("+18765550123"), Err(DestinationError::Country));
        for bad in ["+49;+43", "49", "DE", "+0", "+", "+12345678"] {
            assert_eq!(bad.parse::<Countries>(), Err(CountriesError), "{bad}");
        }
    }
}
