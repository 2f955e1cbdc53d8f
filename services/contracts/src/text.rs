//! What people may write: the one rule about characters for names, titles and longer texts. Length and emptiness are each
//! field's own.
//!
//! Refused is what is invisible, breaks a line, or reorders what is around it: control characters, bidirectional
//! embeddings, overrides and isolates (Trojan Source, UTS #55), zero-width and filler characters, noncharacters and
//! private use. RFC 8264's `FreeformClass` is the model; it refuses emoji and Indic sequences as well, so that joiners,
//! variation selectors and tags are accepted here where scripts and emoji need them.

use unicode_properties::{GeneralCategory, UnicodeEmoji, UnicodeGeneralCategory};

const ZWNJ: char = '\u{200C}';
const ZWJ: char = '\u{200D}';
/// What flags of regions begin with (UTS #51, emoji tag sequences).
const BLACK_FLAG: char = '\u{1F3F4}';

/// A character that the text must not contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must not contain the character U+{:04X} here", u32::from(*.0))]
pub struct RefusedCharacter(pub char);

/// Checks a text of one line: a name, a title, a street.
pub fn line(text: &str) -> Result<(), RefusedCharacter> {
    check(text, |_, _| false)
}

/// Checks a text that may have several lines, tabs and direction marks: a description, a review.
pub fn lines(text: &str) -> Result<(), RefusedCharacter> {
    check(text, |c, next| match c {
        '\n' | '\t' | '\u{200E}' | '\u{200F}' | '\u{061C}' => true,
        '\r' => next == Some('\n'),
        _ => false,
    })
}

fn check(text: &str, further: impl Fn(char, Option<char>) -> bool) -> Result<(), RefusedCharacter> {
    let mut chars = text.chars().peekable();
    // The character before, and the one before that which is more than a mark on it.
    let (mut before, mut base): (Option<char>, Option<char>) = (None, None);
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        let accepted = match c {
            ZWNJ => in_script(before),
            ZWJ => in_script(before) || is_emoji(base) && is_emoji(next),
            _ if is_variation_selector(c) => {
                before.is_some_and(|before| !before.is_whitespace() && !is_invisible(before))
            }
            '\u{E0020}'..='\u{E007F}' => base == Some(BLACK_FLAG),
            _ => !is_refused(c),
        };
        if !accepted && !further(c, next) {
            return Err(RefusedCharacter(c));
        }
        before = Some(c);
        if !is_invisible(c) && !is_skin_tone(c) {
            base = Some(c);
        }
    }
    Ok(())
}

fn is_refused(c: char) -> bool {
    use GeneralCategory as Category;
    match c.general_category() {
        Category::Control
        | Category::PrivateUse
        | Category::LineSeparator
        | Category::ParagraphSeparator => true,
        Category::Format => !is_visible_format(c),
        Category::Unassigned => is_noncharacter(c),
        // Default_Ignorable_Code_Point among letters and marks, and what stands in for an object.
        _ => matches!(
            c,
            '\u{034F}'
                | '\u{115F}'
                | '\u{1160}'
                | '\u{17B4}'
                | '\u{17B5}'
                | '\u{3164}'
                | '\u{FFA0}'
                | '\u{FFFC}'
        ),
    }
}

/// Signs that are written around or above digits, and are format characters all the same (`Prepended_Concatenation_Mark`
/// and Egyptian hieroglyph controls are the only ones with a shape).
fn is_visible_format(c: char) -> bool {
    matches!(
        c,
        '\u{0600}'
            ..='\u{0605}'
                | '\u{06DD}'
                | '\u{070F}'
                | '\u{0890}'
                | '\u{0891}'
                | '\u{08E2}'
                | '\u{110BD}'
                | '\u{110CD}'
    )
}

/// Unassigned characters are accepted, so that the emoji of next year are; these never will be any.
fn is_noncharacter(c: char) -> bool {
    let code = u32::from(c);
    code & 0xFFFE == 0xFFFE || (0xFDD0..=0xFDEF).contains(&code)
}

fn is_variation_selector(c: char) -> bool {
    matches!(c, '\u{FE00}'..='\u{FE0F}' | '\u{180B}'..='\u{180D}' | '\u{180F}' | '\u{E0100}'..='\u{E01EF}')
}

/// Accepted somewhere, and never seen by itself.
fn is_invisible(c: char) -> bool {
    matches!(c, ZWNJ | ZWJ | '\u{E0020}'..='\u{E007F}') || is_variation_selector(c)
}

fn is_skin_tone(c: char) -> bool {
    matches!(c, '\u{1F3FB}'..='\u{1F3FF}')
}

fn is_emoji(c: Option<char>) -> bool {
    // Digits are emoji too, by way of keycaps.
    c.is_some_and(|c| !c.is_ascii() && c.is_emoji_char())
}

/// Whether this is a letter or mark of a script that is written with joiners: those of Arabic's and of India's kin,
/// Mongolian, Khmer, Burmese and others (Unicode, chapters 9, 12, 13 and 16).
fn in_script(c: Option<char>) -> bool {
    matches!(
        c,
        Some(
            '\u{0600}'..='\u{08FF}'
            | '\u{0900}'..='\u{0DFF}'
            | '\u{1000}'..='\u{109F}'
            | '\u{1780}'..='\u{18AF}'
            | '\u{1A20}'..='\u{1AAF}'
            | '\u{1B00}'..='\u{1BFF}'
            | '\u{A840}'..='\u{A8FF}'
            | '\u{FB50}'..='\u{FDCF}'
            | '\u{FE70}'..='\u{FEFC}'
            | '\u{11000}'..='\u{11FFF}'
            | '\u{1E900}'..='\u{1E95F}',
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_accepted() {
        for text in [
            "Ada Lovelace",
            "Zoë Ångström",
            "Jose\u{301}",
            "O’Brien – Söhne & Co.",
            "محمد بن سلمان",
            "می\u{200C}خواهم",
            "دانش\u{200C}آموزان",
            "۱۴۰۱ ه\u{200D}.ش",
            "יִשְׂרָאֵל כ״ץ",
            "क्\u{200D}ष हिन्दी",
            "শ্রী র\u{200D}্যাব",
            "ശ്രീ അവൻ\u{200D}",
            "ශ්\u{200D}රී ලංකා",
            "ក្រុម",
            "ᠮᠣᠩᠭᠣᠯ\u{180B}",
            "小説　東京",
            "葛\u{E0100}飾区",
            "한국어",
            "👨\u{200D}👩\u{200D}👧\u{200D}👦 family",
            "🧑🏽\u{200D}🚀",
            "❤\u{FE0F}\u{200D}🔥",
            "🏳\u{FE0F}\u{200D}🌈",
            "🙂\u{200D}↔\u{FE0F}",
            "1\u{FE0F}\u{20E3} mug",
            "🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}",
            "10\u{A0}€",
            "",
        ] {
            assert_eq!(line(text), Ok(()), "{text:?}");
            assert_eq!(lines(text), Ok(()), "{text:?}");
        }
    }

    #[test]
    fn what_deceives_or_is_invisible_is_refused() {
        for c in [
            '\0',
            '\u{1}',
            '\u{7}',
            '\u{1B}',
            '\u{7F}',
            '\u{85}',
            '\u{9B}', // controls
            '\u{202A}',
            '\u{202B}',
            '\u{202C}',
            '\u{202D}',
            '\u{202E}', // embeddings, overrides
            '\u{2066}',
            '\u{2067}',
            '\u{2068}',
            '\u{2069}', // isolates
            '\u{200B}',
            '\u{2060}',
            '\u{2063}',
            '\u{FEFF}',
            '\u{AD}',
            '\u{180E}', // zero width
            '\u{200C}',
            '\u{200D}',
            '\u{FE0F}',
            '\u{E0041}',
            '\u{E0001}', // out of context
            '\u{3164}',
            '\u{FFA0}',
            '\u{115F}',
            '\u{1160}',
            '\u{34F}', // fillers
            '\u{2028}',
            '\u{2029}',
            '\u{FFF9}',
            '\u{FFFC}', // separators, annotations
            '\u{E000}',
            '\u{FFFE}',
            '\u{FDD0}',
            '\u{1FFFF}',
            '\u{10FFFD}', // no characters
        ] {
            for text in [format!("{c}"), format!(" {c}"), format!("{c}Mug")] {
                assert_eq!(line(&text), Err(RefusedCharacter(c)), "{text:?}");
                assert_eq!(lines(&text), Err(RefusedCharacter(c)), "{text:?}");
            }
        }
        for text in [
            "Mug\u{200D}",
            "M\u{200C}ug",
            "M\u{200D}ug",
            "1\u{200D}2",
            "👨\u{200D}Mug",
            "M\u{FE0F}\u{FE0F}ug",
            "A\u{E0067}",
        ] {
            assert!(lines(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn lines_and_direction_marks_are_for_longer_texts() {
        for text in ["a\nb", "a\r\nb", "a\tb", "שלום\u{200F}!", "abc\u{200E}", "\u{61C}1"] {
            assert!(line(text).is_err(), "{text:?}");
            assert_eq!(lines(text), Ok(()), "{text:?}");
        }
        assert_eq!(lines("a\rb"), Err(RefusedCharacter('\r')));
        assert_eq!(lines("a\r"), Err(RefusedCharacter('\r')));
    }

    #[test]
    fn the_error_names_the_character() {
        let error = line("gpj.\u{202E}exe").unwrap_err();
        assert_eq!(error.to_string(), "must not contain the character U+202E here");
    }
}
