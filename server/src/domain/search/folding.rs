//! Folds text, so that a word matches in whatever way it is written: in capitals, decomposed, in full width, with
//! ligatures. This is Unicode's NFKC_Casefold with the exceptions below.

use std::borrow::Cow;

use icu_casemap::CaseMapper;
use icu_normalizer::ComposingNormalizer;
use icu_properties::CodePointSetData;
use icu_properties::props::DefaultIgnorableCodePoint;

const DOT_ABOVE: char = '\u{307}';

/// Folds a text. Folding a folded text changes nothing.
pub(super) fn folded(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        let is_folded = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        return if is_folded { text.into() } else { text.to_ascii_lowercase().into() };
    }
    let mut folded = CaseMapper::new().fold_string(&composed(text)).into_owned();
    undot(&mut folded);
    // Folding takes some characters apart.
    ComposingNormalizer::new_nfkc().normalize(&folded).into_owned().into()
}

/// The same with its capitals.
pub(super) fn composed(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return text.into();
    }
    ComposingNormalizer::new_nfkc().normalize(&visible(text)).into_owned().into()
}

/// The text without invisible characters, such as soft hyphens and joiners. A fraction (½) stays apart from the number
/// before it, or 2½ would be 21⁄2; the sign of a trade or service mark goes, or its letters would join the name.
fn visible(text: &str) -> String {
    let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>();
    let mut visible = String::with_capacity(text.len());
    for c in text.chars().filter(|&c| !ignorable.contains(c)) {
        if is_fraction(c) || is_mark_of_trade(c) {
            visible.push(' ');
        }
        if !is_mark_of_trade(c) {
            visible.push(c);
        }
    }
    visible
}

fn is_fraction(c: char) -> bool {
    matches!(c, '\u{bc}'..='\u{be}' | '\u{2150}'..='\u{215f}' | '\u{2189}')
}

fn is_mark_of_trade(c: char) -> bool {
    matches!(c, '\u{2120}' | '\u{2122}')
}

/// Drops the dot above an `i`: Unicode folds the Turkish `İ` to an `i` with a dot more, which nobody types.
fn undot(folded: &mut String) {
    let mut after_i = false;
    folded.retain(|c| {
        let drop = after_i && c == DOT_ABOVE;
        after_i = c == 'i' || drop;
        !drop
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ways_to_write_a_word_are_one() {
        let words: &[(&str, &[&str])] = &[
            ("istanbul", &["İstanbul", "ISTANBUL", "i\u{307}stanbul", "I\u{307}STANBUL"]),
            ("ılık", &["ılık"]),
            ("strasse", &["Straße", "STRASSE", "STRAẞE", "ſtraſſe"]),
            ("σίσυφοσ", &["Σίσυφος", "ΣΊΣΥΦΟΣ", "σίσυφοσ", "Σι\u{301}συφος"]),
            ("եւ", &["և", "ԵՒ", "Եւ"]),
            ("თბილისი", &["ᲗᲑᲘᲚᲘᲡᲘ", "თბილისი"]),
            ("abc123", &["ＡＢＣ１２３", "ａｂｃ１２３", "Abc123"]),
            ("データ", &["ﾃﾞｰﾀ", "データ", "テ\u{3099}ータ"]),
            ("file", &["ﬁle", "FILE"]),
            ("m2", &["m²", "M₂", "Ｍ２"]),
            ("viii", &["Ⅷ", "ⅷ", "VIII"]),
            ("12kg", &["12㎏", "12㎏\u{fe0e}"]),
            ("\u{3bc}m", &["\u{b5}m", "\u{3bc}M"]),
            ("å", &["\u{212b}", "A\u{30a}", "Å"]),
            ("café", &["Cafe\u{301}", "CAFÉ", "cafe\u{301}"]),
            ("việt", &["Vie\u{323}\u{302}t", "Vie\u{302}\u{323}t", "VIỆT"]),
            ("서울", &["\u{1109}\u{1165}\u{110b}\u{116e}\u{11af}", "서울"]),
            ("لا", &["\u{fefb}", "لا"]),
            ("schifffahrt", &["Schiff\u{ad}fahrt", "SCHIFFFAHRT", "Schi\u{fb00}fahrt"]),
            ("ǰ", &["J\u{30c}", "ǰ"]),
        ];
        for (same, ways) in words {
            for way in *ways {
                assert_eq!(folded(way), *same, "{way}");
            }
        }
    }

    #[test]
    fn what_distinguishes_words_stays() {
        for (one, other) in
            [("ı", "i"), ("schön", "schon"), ("año", "ano"), ("ή", "η"), ("ё", "е"), ("é", "e")]
        {
            assert_ne!(folded(one), folded(other));
        }
        assert_eq!(folded("2½ 5¼"), "2 1\u{2044}2 5 1\u{2044}4");
        assert_eq!(folded("Acme\u{2122}, Büro\u{2120}"), "acme , büro ");
        assert_eq!(folded("y\u{307} j\u{307}"), "ẏ j\u{307}");
    }

    #[test]
    fn each_character_is_folded_once() {
        for c in '\u{0}'..=char::MAX {
            let once = folded(&c.to_string()).into_owned();
            assert_eq!(folded(&once), once, "U+{:04X}", u32::from(c));
        }
    }

    proptest! {
        #[test]
        fn folding_twice_is_folding_once(text in "([iI\u{130}\u{307}\u{301}\u{323}\u{345}αΑßſ]|\\PC){0,40}") {
            let once = folded(&text).into_owned();
            prop_assert!(folded(&once) == once, "{text:?}");
        }
    }
}
