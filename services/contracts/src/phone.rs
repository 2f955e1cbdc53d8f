//! Telephone numbers as people write them.

use std::str::FromStr;

/// Digits of a number with its country's code (E.164, and fewest that any country has), and of one without.
const INTERNATIONAL: std::ops::RangeInclusive<usize> = 7..=15;
const NATIONAL: std::ops::RangeInclusive<usize> = 5..=15;
/// Most digits of an extension.
const EXTENSION: std::ops::RangeInclusive<usize> = 1..=10;
/// Most characters.
pub const MAX_LENGTH: usize = 40;
/// What people put between digits, with the hyphens, dashes and minus that programs make of `-`.
const SEPARATORS: [char; 14] = [
    ' ', '-', '.', '/', '(', ')', '\u{a0}', '\u{2010}', '\u{2011}', '\u{2012}', '\u{2013}',
    '\u{2014}', '\u{2015}', '\u{2212}',
];
/// Direction marks, embeddings and isolates, which address books put around numbers that are copied.
const DIRECTIONS: [std::ops::RangeInclusive<char>; 3] =
    ['\u{200E}'..='\u{200F}', '\u{202A}'..='\u{202C}', '\u{2066}'..='\u{2069}'];
/// What an extension begins with, in small letters: RFC 3966, and what is printed on cards. Longer ones first.
const EXTENSIONS: [&str; 7] = [";ext=", "extension", "ext.", "ext", "x", "#", ";"];

/// A telephone number. Whether anybody has it is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phone {
    /// Without what is between them; those after the country's `+` or `00` if it is international.
    pub digits: String,
    /// Whether it has its country's code.
    pub international: bool,
    /// A person behind a switchboard.
    pub extension: Option<String>,
}

/// The text is no telephone number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a telephone number, such as +49 30 123456 or 030 123456 ext. 12")]
pub struct PhoneError;

impl FromStr for Phone {
    type Err = PhoneError;

    fn from_str(text: &str) -> Result<Self, PhoneError> {
        if text.chars().count() > MAX_LENGTH {
            return Err(PhoneError);
        }
        let is_direction = |c: char| DIRECTIONS.iter().any(|range| range.contains(&c));
        let text = text.replace(is_direction, "").trim().to_lowercase();
        let mark = EXTENSIONS.iter().find_map(|mark| text.split_once(mark));
        let (number, extension) =
            mark.map_or((&*text, None), |(number, extension)| (number, Some(extension)));
        // The zero that is dialled at home only, as in +49 (0) 151.
        let number = number.replace("(0)", "").replace(SEPARATORS, "");
        let after_code = number.strip_prefix('+').or_else(|| number.strip_prefix("00"));
        let digits = after_code.unwrap_or(&number);
        let lengths = if after_code.is_some() { INTERNATIONAL } else { NATIONAL };
        if !are_digits(digits, &lengths) || (after_code.is_some() && digits.starts_with('0')) {
            return Err(PhoneError);
        }
        let extension = extension.map(|extension| extension.trim_matches([' ', ':', '\u{a0}']));
        if extension.is_some_and(|extension| !are_digits(extension, &EXTENSION)) {
            return Err(PhoneError);
        }
        Ok(Self {
            digits: digits.to_owned(),
            international: after_code.is_some(),
            extension: extension.map(str::to_owned),
        })
    }
}

fn are_digits(text: &str, lengths: &std::ops::RangeInclusive<usize>) -> bool {
    lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        for (text, digits, international, extension) in [
            ("+4930123456", "4930123456", true, None),
            (" +49 (0)30 / 123-456 ", "4930123456", true, None),
            ("0049 30 123456", "4930123456", true, None),
            ("030 123456", "030123456", false, None),
            ("(202) 555-0123", "2025550123", false, None),
            ("+44 20 7946 0018 ext. 1234", "442079460018", true, Some("1234")),
            ("020 7946 0018 x12", "02079460018", false, Some("12")),
            ("+49-30-123456;ext=7", "4930123456", true, Some("7")),
            ("030 123456 Extension: 12", "030123456", false, Some("12")),
            ("030 123456 #1", "030123456", false, Some("1")),
            ("+290 22222", "29022222", true, None),
            ("\u{202A}+49 30 123456\u{202C}", "4930123456", true, None),
            ("\u{2066}+49\u{A0}30\u{2069} 123456 ext.\u{200E} 7", "4930123456", true, Some("7")),
            ("\u{200F}030\u{2011}123456\u{200E}", "030123456", false, None),
            (
                "+49\u{2010}30\u{2012}12\u{2013}34\u{2014}5\u{2015}6\u{2212}7",
                "49301234567",
                true,
                None,
            ),
        ] {
            let extension = extension.map(str::to_owned);
            let expected = Phone { digits: digits.to_owned(), international, extension };
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in [
            "",
            " ",
            "+",
            "1234",
            "+123456",
            "+0491511234567",
            "+1234567890123456",
            "+49a5112345678",
            "+49+30123456",
            "+\u{664}\u{669}\u{661}\u{665}\u{661}\u{661}\u{662}\u{663}",
            "ask at the door",
            "030 123456 ext.",
            "030 123456 ext. desk",
            "030 123456 x 12345678901",
            "ext. 12",
            "030\n123456",
            "030\u{202E}123456",
            "030\u{200B}123456",
        ] {
            assert_eq!(text.parse::<Phone>(), Err(PhoneError), "{text:?}");
        }
        let long = format!("030{}123456", " ".repeat(40));
        assert_eq!(long.parse::<Phone>(), Err(PhoneError));
    }
}
