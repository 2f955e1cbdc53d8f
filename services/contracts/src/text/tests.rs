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
