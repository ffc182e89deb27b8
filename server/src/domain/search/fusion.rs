//! Fuses two rankings into one.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

/// What all of the query's words add, where the distance from the nearest item to the farthest is 1.
const WORDS: f64 = 1.2;
/// The part of the query's words up to which they add nothing: so much in common is chance.
const CHANCE: f64 = 0.4;

/// Fuses what is `near` in meaning with what has the query's `words`, best first, each item with a score from 0 to 1. What has
/// most of the words, the rare ones above all, goes before what is near; what has a few of them stays where its meaning puts
/// it. Both have similarities from 0 to 1. Ties stay in their order in `near`. Neither must repeat an item.
pub fn weighed<T: Copy + Eq + Hash>(near: &[(T, f64)], words: &[(T, f64)]) -> Vec<(T, f64)> {
    let most = near.first().map_or(0.0, |(_, similarity)| *similarity);
    let least = near.last().map_or(0.0, |(_, similarity)| *similarity);
    // Models differ in what is a high similarity, so only the distances within one ranking are compared.
    let closeness =
        |similarity: f64| if most > least { (similarity - least) / (most - least) } else { 1.0 };
    let mut scores: HashMap<T, f64> = HashMap::with_capacity(near.len() + words.len());
    let mut order = Vec::with_capacity(near.len() + words.len());
    for (item, similarity) in near {
        scores.insert(*item, closeness(*similarity));
        order.push(*item);
    }
    for (item, share) in words {
        let score = scores.entry(*item).or_insert_with(|| {
            order.push(*item);
            0.0
        });
        *score += WORDS * ((share - CHANCE) / (1.0 - CHANCE)).max(0.0);
    }
    let mut fused: Vec<(T, f64)> =
        order.into_iter().map(|item| (item, scores[&item] / (1.0 + WORDS))).collect();
    // Stable: equals stay in their order.
    fused.sort_by(|a, b| b.1.total_cmp(&a.1));
    fused
}

/// Brings `item`, where it is, among the first `places` of what is `fused`, with the score of the one before it.
pub fn bring_forward<T: Copy + Eq>(fused: &mut Vec<(T, f64)>, item: T, places: usize) {
    let at = fused.iter().position(|(other, _)| *other == item);
    if let Some(at) = at.filter(|at| *at >= places) {
        let (item, score) = fused.remove(at);
        let last = places.saturating_sub(1);
        let before = last.checked_sub(1).map_or(score, |before| fused[before].1);
        fused.insert(last, (item, before));
    }
}

/// Lets two rankings whose scores are not comparable take turns; what both have comes at its first place.
pub fn in_turns<T: Copy + Eq + Hash>(first: &[T], second: &[T]) -> Vec<T> {
    let mut seen = HashSet::with_capacity(first.len() + second.len());
    (0..first.len().max(second.len()))
        .flat_map(|place| [first.get(place), second.get(place)])
        .flatten()
        .copied()
        .filter(|item| seen.insert(*item))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rankings_take_turns() {
        let order =
            |first: &[char], second: &[char]| in_turns(first, second).iter().collect::<String>();
        assert_eq!(order(&['a', 'b'], &['x', 'y']), "axby");
        assert_eq!(order(&['a', 'b', 'c'], &['x']), "axbc");
        assert_eq!(order(&[], &['x', 'y']), "xy");
        assert_eq!(order(&['x', 'a'], &['y', 'x']), "xya");
        assert_eq!(order(&['a', 'b', 'c', 'y'], &['x', 'y']), "axbyc");
    }

    #[test]
    fn what_is_far_back_is_brought_forward_and_nothing_else_moves() {
        let mut fused = vec![('a', 0.9), ('b', 0.8), ('c', 0.7), ('d', 0.6)];
        bring_forward(&mut fused, 'b', 2);
        bring_forward(&mut fused, 'x', 2);
        assert_eq!(fused, [('a', 0.9), ('b', 0.8), ('c', 0.7), ('d', 0.6)]);
        bring_forward(&mut fused, 'd', 2);
        assert_eq!(fused, [('a', 0.9), ('d', 0.9), ('b', 0.8), ('c', 0.7)]);
    }

    fn meant(near: &[(char, f64)], words: &[(char, f64)]) -> String {
        weighed(near, words).into_iter().map(|(item, _)| item).collect()
    }

    #[test]
    fn most_of_the_words_win_and_a_few_do_not() {
        let near = [('a', 0.5), ('b', 0.48), ('c', 0.3), ('d', 0.1)];
        // "what was PROJ-1000 about?": c alone has the number, x is not even near.
        assert_eq!(meant(&near, &[('c', 1.0)]), "cabd");
        assert_eq!(meant(&near, &[('x', 1.0), ('a', 0.3)]), "xabcd");
        // Less than half of the words is chance, and half of them tells little.
        assert_eq!(meant(&near, &[('d', 0.4), ('c', 0.5)]), "abcd");
        // Nothing in common: the meaning's order, to the last one.
        assert_eq!(meant(&near, &[]), "abcd");
        assert_eq!(meant(&[], &[('x', 0.9), ('y', 0.2)]), "xy");
        // All that is found has the words.
        assert_eq!(meant(&near, &[('d', 1.0), ('c', 1.0), ('b', 1.0), ('a', 1.0)]), "abcd");
    }

    #[test]
    fn a_model_with_narrow_similarities_is_fused_alike() {
        let narrow = [('a', 0.85), ('b', 0.848), ('c', 0.83), ('d', 0.81)];
        assert_eq!(meant(&narrow, &[('c', 1.0)]), "cabd");
        assert_eq!(meant(&[('a', 0.2)], &[('x', 1.0)]), "xa");
        assert_eq!(meant(&[('a', 0.2)], &[('x', 0.6)]), "ax");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_made(near in prop::collection::btree_map(0..40, 0.0..=1.0, 0..30), words in prop::collection::btree_map(0..40, 0.0..=1.0, 0..30)) {
            let ranked = |of: &std::collections::BTreeMap<i32, f64>| {
                let mut ranked: Vec<(i32, f64)> = of.iter().map(|(item, similarity)| (*item, *similarity)).collect();
                ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
                ranked
            };
            let found = weighed(&ranked(&near), &ranked(&words));
            let all: std::collections::BTreeSet<i32> = near.keys().chain(words.keys()).copied().collect();
            prop_assert_eq!(found.iter().map(|(item, _)| *item).collect::<std::collections::BTreeSet<i32>>(), all.clone());
            prop_assert_eq!(found.len(), all.len());
            prop_assert!(found.is_sorted_by(|x, y| x.1 >= y.1));
            prop_assert!(found.iter().all(|(_, score)| (0.0..=1.0).contains(score)));
        }
    }
}
