//! Divides long texts into chunks, each of which gets a vector of its own: what a vector says of a text blurs with its length, and
//! models read no more than their first tokens.

use std::ops::Range;

/// Bytes of a chunk, and of a text that is left whole: some 220 tokens of English, which all models read.
pub const CHUNK: usize = 1000;
/// Most chunks of a text.
pub const MOST: usize = 16;
/// Bytes of a token, about: 4 of English, 3 of Chinese.
const OF_TOKEN: usize = 4;
/// The part of a chunk that the next one repeats. A text that has a quarter more tokens than its bytes let expect is still read whole.
const OVERLAP: usize = 5;
/// The part of a chunk in which a word has to end, or it is cut within a word.
const SLACK: usize = 8;

/// A text's chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunks {
    /// Where they are in the text, in its order: at least one.
    pub ranges: Vec<Range<usize>>,
    /// The text goes on behind the last one.
    pub cut: bool,
}

/// Divides `text` for a model that reads `tokens` of a text. Where [`MOST`] chunks of [`CHUNK`] bytes do not reach its end, they are
/// longer, as far as the model reads.
pub fn chunks(text: &str, tokens: usize) -> Chunks {
    let needed = text.len().div_ceil(SURELY);
    let size = needed.clamp(CHUNK, (tokens * OF_TOKEN).max(CHUNK));
    let (mut ranges, mut end) = (Vec::new(), 0);
    while ranges.len() < MOST && (end < text.len() || ranges.is_empty()) {
        let start = if end == 0 { 0 } else { beginning(text, end - size / OVERLAP, end) };
        end = ending(text, start, size);
        ranges.push(start..end);
    }
    Chunks { ranges, cut: end < text.len() }
}

/// How many sizes of a chunk [`MOST`] of them reach at least: each may be shorter by its slack, and repeats its overlap.
const SURELY: usize = 11;

/// At most how many chunks a text of so many bytes has.
pub fn at_most(bytes: usize) -> usize {
    let least = CHUNK - CHUNK / SLACK - CHUNK / OVERLAP;
    if bytes <= CHUNK { 1 } else { (1 + bytes.div_ceil(least)).min(MOST) }
}

/// The beginning of a chunk from `from` on: that of a word, where one begins before `end`.
fn beginning(text: &str, from: usize, end: usize) -> usize {
    let from = text.floor_char_boundary(from);
    let is_space = |c: &(usize, char)| c.1.is_whitespace();
    let space = text[from..end].char_indices().find(is_space);
    space.map_or(from, |(at, space)| from + at + space.len_utf8())
}

/// The end of a chunk of at most `size` bytes: that of a word, where one ends in its last part.
fn ending(text: &str, start: usize, size: usize) -> usize {
    if text.len() - start <= size {
        return text.len();
    }
    let most = text.floor_char_boundary(start + size);
    let least = text.ceil_char_boundary(most - size / SLACK);
    text[least..most].rfind(char::is_whitespace).map_or(most, |at| least + at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOKENS: usize = 256;

    fn words(bytes: usize) -> String {
        let words = (0..).map(|n: usize| ["to ", "peanut ", "allergies ", "in "][n % 4]);
        words.take(bytes).collect::<String>()[..bytes].to_owned()
    }

    #[test]
    fn a_short_text_is_one_chunk() {
        for text in [String::new(), "peanuts".into(), words(CHUNK)] {
            let Chunks { ranges, cut } = chunks(&text, TOKENS);
            assert_eq!((ranges.len(), ranges[0].clone(), cut), (1, 0..text.len(), false));
        }
    }

    #[test]
    fn a_long_text_is_cut_between_words_and_its_chunks_overlap() {
        let text = words(5000);
        let Chunks { ranges, cut } = chunks(&text, TOKENS);
        assert!(!cut && ranges.len() == 6, "{ranges:?}");
        assert_eq!((ranges[0].start, ranges[5].end), (0, 5000));
        for pair in ranges.windows(2) {
            let overlap = &text[pair[1].start..pair[0].end];
            assert!((180..=200).contains(&overlap.len()), "{overlap}");
            assert!(text[..pair[1].start].ends_with(' ') && text[pair[0].end..].starts_with(' '));
        }
    }

    #[test]
    fn chunks_grow_with_the_text_as_far_as_the_model_reads() {
        let reach = |tokens: usize| {
            let Chunks { ranges, cut } = chunks(&words(65_536), tokens);
            assert!(ranges.len() <= MOST);
            (ranges[ranges.len() - 1].end / 1000, cut)
        };
        assert_eq!(reach(256), (13, true));
        assert_eq!(reach(384), (19, true));
        assert_eq!(reach(512), (26, true));
        assert_eq!(reach(8191), (65, false));
    }

    #[test]
    fn texts_without_spaces_are_cut_between_characters() {
        let text = "水".repeat(1000);
        let Chunks { ranges, cut } = chunks(&text, TOKENS);
        assert!(!cut && ranges.len() == 4, "{ranges:?}");
        assert!(ranges.iter().all(|range| text.get(range.clone()).is_some()));
    }

    proptest! {
        #[test]
        fn nothing_is_left_out_and_no_chunk_is_too_long(
            text in "([a-zé水 ]{0,40}[ \n]){0,600}",
            tokens in prop::sample::select(vec![1, 256, 384, 8191]),
        ) {
            let Chunks { ranges, cut } = chunks(&text, tokens);
            prop_assert!((1..=at_most(text.len())).contains(&ranges.len()));
            prop_assert_eq!(ranges[0].start, 0);
            for pair in ranges.windows(2) {
                prop_assert!(pair[0].start < pair[1].start && pair[1].start <= pair[0].end);
                prop_assert!(pair[0].end < pair[1].end);
            }
            for range in &ranges {
                prop_assert!(text.get(range.clone()).is_some(), "{:?}", range);
                prop_assert!(range.len() <= (tokens * OF_TOKEN).max(CHUNK));
            }
            let end = ranges[ranges.len() - 1].end;
            prop_assert_eq!(cut, end < text.len());
            prop_assert!(!cut || ranges.len() == MOST);
        }
    }
}
