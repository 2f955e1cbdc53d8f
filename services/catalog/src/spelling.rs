//! What a misspelt word may have meant.
//!
//! Words of names and attributes are kept in `words`; those that look like what was typed are
//! judged here by the number of slips (insertions, losses, changes and swaps of a letter) that lead
//! from one to the other. Trigrams alone, which find them, cannot tell a swap from another word.

use std::collections::{BTreeMap, BTreeSet};

/// Fewest letters of a word that may be misspelt: among shorter ones, each is a slip away from
/// several others (mug, jug, rug; boot, book).
const MIN_LETTERS: usize = 5;
/// Fewest letters of a word in which two slips are forgiven, and its first letter may be one. Below
/// them, Algolia's and Elasticsearch's rules are the same.
const LONG: usize = 8;
/// Most letters of a word that is looked at: the longest that `words` has.
const MAX_LETTERS: usize = 40;
/// Most words of a search that are looked at.
const MAX_WORDS: usize = 8;
/// Most spellings that are searched for in place of one word.
const MAX_SPELLINGS: usize = 5;

/// Other spellings to search for, by the word that was typed.
pub type Respelt = BTreeMap<String, Vec<String>>;

/// The words of a search that may be misspelt. What is quoted or excluded is meant as it is, and so
/// are numbers and codes.
pub fn typed(search: &str) -> BTreeSet<String> {
    // Every second part is inside quotes.
    let open = search.split('"').step_by(2).flat_map(str::split_whitespace);
    let words = open
        .filter(|word| !word.starts_with('-'))
        .map(|word| word.trim_matches(|letter: char| !letter.is_alphanumeric()).to_lowercase());
    words.filter(|word| letters(word) >= MIN_LETTERS && is_word(word)).take(MAX_WORDS).collect()
}

/// Whether a word is so long that it may be misspelt although the shop knows it: the seller may
/// have slipped, and it has hardly any neighbours.
pub fn is_long(word: &str) -> bool {
    letters(word) >= LONG
}

/// The best of these words that `typed` may have meant.
pub fn choose(typed: &str, like: Vec<String>) -> Vec<String> {
    let slips = |word: &String| slips(singular(typed), singular(word));
    let mut close: Vec<(usize, String)> = like
        .into_iter()
        .filter(|word| word != typed)
        .map(|word| (slips(&word), word))
        .filter(|(slips, word)| *slips <= forgiven(typed, word))
        .collect();
    close.sort();
    close.truncate(MAX_SPELLINGS);
    close.into_iter().map(|(_, word)| word).collect()
}

/// Whether [`typed`] and [`choose`] could have said this; a cursor brings it back, and whoever
/// holds it can write into it.
pub fn is_ours(respelt: &Respelt) -> bool {
    let few = respelt.len() <= MAX_WORDS
        && respelt.values().all(|spellings| spellings.len() <= MAX_SPELLINGS);
    few && respelt.iter().all(|(word, spellings)| {
        is_word(word) && spellings.iter().all(|spelling| is_word(spelling))
    })
}

/// Writes what is Chinese, Japanese or Korean as phrases of neighbouring pairs of characters, as it is stored
/// (`search_bigrams`): there are no spaces between the words.
pub fn in_pairs(search: &str) -> String {
    let chars: Vec<char> = search.chars().collect();
    let mut written = String::with_capacity(search.len());
    for run in chars.chunk_by(|one, next| is_unspaced(*one) == is_unspaced(*next)) {
        if run.len() < 2 || !is_unspaced(run[0]) {
            // A word that goes on behind a phrase is another word.
            if written.ends_with('"') && run[0].is_alphanumeric() {
                written.push(' ');
            }
            written.extend(run);
            continue;
        }
        if written.ends_with(char::is_alphanumeric) {
            written.push(' ');
        }
        let pairs: Vec<String> = run.windows(2).map(|pair| pair.iter().collect()).collect();
        written.extend(["\"", &pairs.join(" "), "\""]);
    }
    written
}

/// Whether a character belongs to a script without spaces between words; the ranges are those of `search_bigrams`.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{3005}' | '\u{3041}'..='\u{30FF}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7AF}')
}

fn is_word(text: &str) -> bool {
    text.chars().all(char::is_alphabetic) && (1..=MAX_LETTERS).contains(&text.chars().count())
}

/// The search knows the stems of words, hence what one and many of a thing are called is the same.
fn singular(word: &str) -> &str {
    word.strip_suffix('s').unwrap_or(word)
}

fn letters(word: &str) -> usize {
    singular(word).chars().count()
}

fn forgiven(typed: &str, word: &str) -> usize {
    let (one, other) = (typed.chars().next(), word.chars().next());
    // Accents are left out by whoever has no key for them.
    let accented = [one, other].iter().flatten().any(|letter| !letter.is_ascii());
    if is_long(typed) { 2 } else { usize::from(one == other || accented) }
}

/// Slips from one word to the other: the distance of optimal string alignment.
fn slips(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=other.len()).collect();
    for i in 1..=one.len() {
        let mut row = vec![i];
        for j in 1..=other.len() {
            let changed = above[j - 1] + usize::from(one[i - 1] != other[j - 1]);
            let mut least = changed.min(above[j] + 1).min(row[j - 1] + 1);
            let swapped =
                i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1];
            if swapped {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted() {
        for (one, other, count) in [
            ("", "", 0),
            ("mug", "mug", 0),
            ("coffe", "coffee", 1),
            ("chiar", "chair", 1),
            ("headfone", "headphone", 2),
            ("éclair", "eclair", 1),
            ("", "pen", 3),
        ] {
            assert_eq!((slips(one, other), slips(other, one)), (count, count), "{one} {other}");
        }
    }

    #[test]
    fn what_is_short_coded_quoted_or_excluded_is_meant_as_it_is() {
        let words = |search| typed(search).into_iter().collect::<Vec<_>>();
        assert_eq!(words("Coffe, mug or HEADFONES"), ["coffe", "headfones"]);
        assert!(words("lamp boots -coffe WOOL-77 iphone15 \"blak chair\"").is_empty());
        assert_eq!(words("\"an open quote\" chiar \"blak"), ["chiar"]);
        assert_eq!(typed(&"abcde fghij klmno ".repeat(50)).len(), 3);
        assert!(words(&"x".repeat(200)).is_empty());
    }

    #[test]
    fn scripts_without_spaces_are_searched_by_pairs() {
        for (typed, written) in [
            ("red mug", "red mug"),
            ("小説", "\"小説\""),
            ("本", "本"),
            ("日本の小説", "\"日本 本の の小 小説\""),
            ("-小説 本", "-\"小説\" 本"),
            ("iPhoneケース黒mug", "iPhone \"ケー ース ス黒\" mug"),
            ("한국어 책", "\"한국 국어\" 책"),
        ] {
            assert_eq!(in_pairs(typed), written);
        }
    }

    #[test]
    fn the_nearest_are_chosen_and_strangers_are_not() {
        let choose = |word: &str, like: &[&str]| {
            choose(word, like.iter().map(|like| (*like).to_owned()).collect())
        };
        assert_eq!(choose("headfones", &["headphone", "headrests", "fones"]), ["headphone"]);
        assert_eq!(choose("chiar", &["chain", "chair", "choir"]), ["chair"]);
        assert_eq!(choose("mouse", &["house", "moose"]), ["moose"]);
        assert_eq!(choose("eclair", &["éclair", "eclat"]), ["éclair"]);
        assert_eq!(choose("coffe", &["coffe", "coffee", "coffin"]), ["coffee"]);
        let many = ["blankett", "blankex", "blankey", "blankez", "blanketq", "blanketw"];
        assert_eq!(choose("blankets", &many).len(), MAX_SPELLINGS);
    }

    #[test]
    fn a_cursor_says_no_more_than_we_would() {
        let respelt =
            |word: &str, count| Respelt::from([(word.to_owned(), vec!["chair".into(); count])]);
        assert!(is_ours(&respelt("chiar", 5)) && is_ours(&Respelt::new()));
        assert!(!is_ours(&respelt("chiar", 6)));
        assert!(!is_ours(&respelt("a | b", 1)) && !is_ours(&respelt("", 1)));
        let many = (0..9).map(|index| ("x".repeat(index + 1), Vec::new()));
        assert!(!is_ours(&many.collect()));
    }
}
