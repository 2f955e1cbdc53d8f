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
mod tests;
