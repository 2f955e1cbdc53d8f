//! Text of users in our mails. A new account chooses the name that a mail of ours greets, and the address that it goes
//! to: unchecked, the shop would relay a message of theirs from an address that people trust.

/// Longest name, in characters.
const MAX: usize = 100;

/// A name as a mail may bear it: on one line, short, and with nothing that a mail program makes a link of.
pub(crate) fn name(text: &str) -> String {
    let text = line(text);
    let words = text.split(' ').filter(|word| !word.contains("://")).map(without_domains);
    words.collect::<Vec<_>>().join(" ").chars().take(MAX).collect()
}

/// Text as one line, as it reads: without control characters, which would end a header, and without those that turn
/// around or hide what follows (UTS 39, bidirectional and ignorable characters). Joiners stay: emoji and several
/// scripts need them.
pub(crate) fn line(text: &str) -> String {
    let spaced = text.chars().filter(|c| !is_invisible(*c)).map(|c| match c {
        c if c.is_control() => ' ',
        c => c,
    });
    spaced.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

const fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// Mail programs make a link of `evil.example`, but not of `evil. example`. Initials, as in `J.R.`, are no domain.
fn without_domains(word: &str) -> String {
    let mut plain = String::with_capacity(word.len() + 2);
    let mut rest = word.chars();
    while let Some(c) = rest.next() {
        plain.push(c);
        let alphabetic = rest.clone().take(2).filter(|c| c.is_alphabetic()).count();
        // The full stops of IDNA (UTS 46).
        if matches!(c, '.' | '。' | '．' | '｡') && alphabetic == 2 {
            plain.push(' ');
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_no_links() {
        for (text, expected) in [
            ("You won! http://evil.example/?a=1 now", "You won! now"),
            ("https://evil.example", ""),
            ("see www.evil.example", "see www. evil. example"),
            ("evil.example/claim", "evil. example/claim"),
            ("mail ada@evil.example", "mail ada@evil. example"),
            ("evil。example", "evil。 example"),
            ("J.R.R. Tolkien", "J.R.R. Tolkien"),
            ("Ada Lovelace, Dr. h. c.", "Ada Lovelace, Dr. h. c."),
            ("Mug 0.5 l", "Mug 0.5 l"),
        ] {
            assert_eq!(name(text), expected, "{text:?}");
        }
        assert_eq!(name(&"x".repeat(1000)).len(), MAX);
    }

    #[test]
    fn lines_are_one_line_and_read_as_they_are_written() {
        for (text, expected) in [
            ("Ada\r\nBcc: eve@example.com", "Ada Bcc: eve@example.com"),
            ("a\u{1}b\u{85}c\u{2028}d\te", "a b c d e"),
            ("\u{202e}evil\u{2066}\u{200b}\u{feff}", "evil"),
            (" Ada   Lovelace ", "Ada Lovelace"),
            ("👩‍👩‍👧 Ä", "👩‍👩‍👧 Ä"),
            ("می‌خواهم", "می‌خواهم"),
            ("שלום क्‍ष", "שלום क्‍ष"),
        ] {
            assert_eq!(line(text), expected, "{text:?}");
        }
    }
}
