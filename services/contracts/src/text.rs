//! What people may write: the one rule about characters for names, titles and longer texts. Length and emptiness are each
//! field's own.
//!
//! Refused is what is invisible, breaks a line, or reorders what is around it: control characters, bidirectional
//! embeddings, overrides and isolates (Trojan Source, UTS #55), zero-width and filler characters, noncharacters and
//! private use. RFC 8264's `FreeformClass` is the model; it refuses emoji and Indic sequences as well, so that joiners,
//! variation selectors and tags are accepted here where scripts and emoji need them. A text of blank characters alone is
//! refused too.

use icu_properties::props::{
    BinaryProperty as _, DefaultIgnorableCodePoint, Emoji, EmojiModifier, EnumeratedProperty as _,
    ExtendedPictographic, GeneralCategory, GeneralCategoryGroup, Ideographic,
    NoncharacterCodePoint, PrependedConcatenationMark, Script,
};

const ZWNJ: char = '\u{200C}';
const ZWJ: char = '\u{200D}';
const ZWSP: char = '\u{200B}';
const MONGOLIAN_VOWEL_SEPARATOR: char = '\u{180E}';
/// What makes a key of a digit, `#` or `*` (UTS #51, emoji keycap sequences).
const KEYCAP: char = '\u{20E3}';
/// What flags of regions begin with (UTS #51, emoji tag sequences).
const BLACK_FLAG: char = '\u{1F3F4}';
const OBJECT_REPLACEMENT: char = '\u{FFFC}';
/// Symbols without ink, which are not white space to Unicode: of Braille, of music and of hieroglyphs.
const BLANK: [char; 4] = ['\u{2800}', '\u{1D159}', '\u{13441}', '\u{13442}'];

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
    let (mut is_visible, mut blank) = (false, None);
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        if !is_accepted(c, before, base, next) && !further(c, next) {
            return Err(RefusedCharacter(c));
        }
        if has_ink(c) {
            is_visible = true;
        } else if !c.is_whitespace() {
            blank = blank.or(Some(c));
        }
        before = Some(c);
        if !DefaultIgnorableCodePoint::for_char(c) && !EmojiModifier::for_char(c) {
            base = Some(c);
        }
    }
    blank.filter(|_| !is_visible).map_or(Ok(()), |c| Err(RefusedCharacter(c)))
}

/// Whether a character may be where it is. What is invisible may where it changes how its neighbours look.
fn is_accepted(c: char, before: Option<char>, base: Option<char>, next: Option<char>) -> bool {
    match c {
        ZWNJ => before.is_some_and(is_joined),
        ZWJ => {
            before.is_some_and(is_joined)
                || base.is_some_and(is_emoji) && next.is_some_and(is_emoji)
        }
        ZWSP => {
            before.is_some_and(is_unspaced)
                && next.is_some_and(|next| is_unspaced(next) && is_letter(next))
        }
        '\u{FE0E}' | '\u{FE0F}' => before.is_some_and(|before| {
            is_emoji(before) || matches!(before, '0'..='9' | '#' | '*') && next == Some(KEYCAP)
        }),
        '\u{FE00}'..='\u{FE0D}' => before.is_some_and(has_variants),
        '\u{E0100}'..='\u{E01EF}' => before.is_some_and(Ideographic::for_char),
        '\u{180B}'..='\u{180D}' | '\u{180F}' => before.is_some_and(is_mongolian),
        MONGOLIAN_VOWEL_SEPARATOR => {
            base.is_some_and(is_mongolian) && next.is_some_and(is_mongolian)
        }
        '\u{E0020}'..='\u{E007F}' => base == Some(BLACK_FLAG),
        _ => !is_refused(c),
    }
}

fn is_refused(c: char) -> bool {
    use GeneralCategory as Category;
    match Category::for_char(c) {
        Category::Control
        | Category::PrivateUse
        | Category::LineSeparator
        | Category::ParagraphSeparator => true,
        // Those that are not refused are written around or above digits.
        Category::Format => !PrependedConcatenationMark::for_char(c),
        // Unassigned characters are accepted, so that the emoji of next year are.
        _ => {
            c == OBJECT_REPLACEMENT
                || DefaultIgnorableCodePoint::for_char(c)
                || NoncharacterCodePoint::for_char(c)
        }
    }
}

fn has_ink(c: char) -> bool {
    let is_mark = matches!(
        GeneralCategory::for_char(c),
        GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark
    );
    !is_mark && !c.is_whitespace() && !DefaultIgnorableCodePoint::for_char(c) && !BLANK.contains(&c)
}

fn is_emoji(c: char) -> bool {
    // Digits are emoji too, by way of keycaps. Places are reserved for the emoji to come.
    !c.is_ascii()
        && (Emoji::for_char(c)
            || ExtendedPictographic::for_char(c)
                && GeneralCategory::for_char(c) == GeneralCategory::Unassigned)
}

/// Whether Unicode has standardized variants of characters of this kind, or registered some of ideographs.
fn has_variants(c: char) -> bool {
    const SCRIPTS: [Script; 4] =
        [Script::Myanmar, Script::PhagsPa, Script::Manichaean, Script::EgyptianHieroglyphs];
    let is_symbol = GeneralCategoryGroup::Symbol.contains(GeneralCategory::for_char(c));
    Ideographic::for_char(c) || is_symbol && !c.is_ascii() || SCRIPTS.contains(&Script::for_char(c))
}

fn is_letter(c: char) -> bool {
    GeneralCategoryGroup::Letter.contains(GeneralCategory::for_char(c))
}

fn is_mongolian(c: char) -> bool {
    Script::for_char(c) == Script::Mongolian && is_letter(c)
}

/// Whether this is a letter, or a mark on one, of a script without spaces between words, which U+200B separates for the breaking of
/// lines (Unicode, chapter 16).
fn is_unspaced(c: char) -> bool {
    const SCRIPTS: [Script; 4] = [Script::Thai, Script::Lao, Script::Myanmar, Script::Khmer];
    let is_mark = GeneralCategoryGroup::Mark.contains(GeneralCategory::for_char(c));
    SCRIPTS.contains(&Script::for_char(c)) && (is_letter(c) || is_mark)
}

/// Whether this is a letter or mark of a script that is written with joiners: those of Arabic's and of India's kin,
/// Mongolian, Khmer, Burmese and others (Unicode, chapters 9, 12, 13 and 16).
fn is_joined(c: char) -> bool {
    matches!(
        c,
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
            | '\u{1E900}'..='\u{1E95F}'
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
            "សួស្តី\u{200B}ពិភពលោក",
            "สวัสดี\u{200B}ชาว\u{200B}โลก",
            "ສະບາຍດີ\u{200B}ຊາວ\u{200B}ໂລກ",
            "မြန်မာ\u{200B}စာ",
            "ᠮᠣᠩᠭᠣᠯ\u{180B}",
            "ᠪᠠᠶᠢᠨ\u{180E}ᠠ ᠤᠤ",
            "ᠨ\u{180B}\u{180E}ᠠ",
            "小説　東京",
            "葛\u{E0100}飾区",
            "\u{FA19}\u{FE00} 社",
            "A ∩\u{FE00} B",
            "\u{1000}\u{FE00}",
            "⠃⠗⠇\u{2800}⠃",
            "e\u{301}\u{323}",
            "한국어",
            "👨\u{200D}👩\u{200D}👧\u{200D}👦 family",
            "🧑🏽\u{200D}🚀",
            "❤\u{FE0F}\u{200D}🔥",
            "🏳\u{FE0F}\u{200D}🌈",
            "🙂\u{200D}↔\u{FE0F}",
            "1\u{FE0F}\u{20E3} mug",
            "#\u{FE0F}\u{20E3}*\u{FE0E}\u{20E3}",
            "☎\u{FE0E} ✌🏽\u{FE0F} ©\u{FE0F}",
            "🕵🏽\u{200D}♀\u{FE0F}",
            "🇩🇪🇫🇷",
            "🫩 \u{1FAFF}",
            "🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}",
            "10\u{A0}€",
            " ",
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
            '\u{2065}',
            '\u{FFF0}',
            '\u{FFF8}',
            '\u{E0002}',
            '\u{E001F}',
            '\u{E0080}',
            '\u{E00FF}',
            '\u{E01F0}',
            '\u{E0FFF}', // to be ignored, once they are assigned
            '\u{FE00}',
            '\u{FE0E}',
            '\u{180B}',
            '\u{180F}',
            '\u{E0100}',
            '\u{E01EF}', // variants of nothing
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
            "A\u{FE0E}dmin",
            "Mu\u{FE0F}g",
            "iPhone 1\u{FE0F}5",
            "🙂\u{FE0F}\u{FE0F}",
            "0\u{FE00}",
            "+\u{FE00}",
            "M\u{E0100}ug",
            "🙂\u{E0100}",
            "葛\u{E0100}\u{E0100}",
            "葛\u{FE0F}",
            "M\u{180B}ug",
            "᠀\u{180B}",
            "ᠨ\u{180E}",
            "ᠨ\u{180E}a",
            "ไทย\u{200B}",
            "\u{200B}ไทย",
            "ไทย\u{200B}\u{200B}ไทย",
            "ไทย\u{200B}Mug",
            "Mug\u{200B}ไทย",
            "ไทย \u{200B}ไทย",
            "M\u{200B}ug",
            "小\u{200B}説",
        ] {
            assert!(lines(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_text_of_blanks_alone_is_refused() {
        for c in ['\u{2800}', '\u{1D159}', '\u{13441}', '\u{301}', '\u{1039}', '\u{16FE4}'] {
            for text in [format!("{c}"), format!(" {c}"), format!("{c}{c}\u{A0}")] {
                assert_eq!(line(&text), Err(RefusedCharacter(c)), "{text:?}");
                assert_eq!(lines(&text), Err(RefusedCharacter(c)), "{text:?}");
            }
        }
        assert_eq!(lines("\u{200E}\n"), Err(RefusedCharacter('\u{200E}')));
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
