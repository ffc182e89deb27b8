//! Fuses two rankings into one, by reciprocal ranks.

use std::collections::HashMap;
use std::hash::Hash;

/// How much less the first ranks weigh than their numbers say: 60 did well in Cormack, Clarke and Büttcher, "Reciprocal
/// Rank Fusion outperforms Condorcet and individual Rank Learning Methods", SIGIR 2009.
const K: f64 = 60.0;

/// Fuses two rankings, best first, each item with a score from 0 to 1: the sum of its reciprocal ranks, relative to the
/// highest possible. Ties go to the item that `first` ranks, or ranks higher. A ranking must not repeat an item.
pub fn fused<T: Copy + Eq + Hash>(first: &[T], second: &[T]) -> Vec<(T, f64)> {
    let mut scores: HashMap<T, f64> = HashMap::with_capacity(first.len() + second.len());
    let mut order = Vec::with_capacity(first.len() + second.len());
    for ranking in [first, second] {
        for (place, thing) in ranking.iter().enumerate() {
            let score = scores.entry(*thing).or_insert_with(|| {
                order.push(*thing);
                0.0
            });
            *score += 1.0 / (K + 1.0 + place as f64);
        }
    }
    let most = 2.0 / (K + 1.0);
    let mut fused: Vec<(T, f64)> = order.into_iter().map(|t| (t, scores[&t] / most)).collect();
    // Stable: equals stay in the order in which they were met.
    fused.sort_by(|a, b| b.1.total_cmp(&a.1));
    fused
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn order(first: &[char], second: &[char]) -> String {
        fused(first, second).into_iter().map(|(thing, _)| thing).collect()
    }

    #[test]
    fn what_both_find_comes_first_and_rankings_take_turns() {
        assert_eq!(order(&['a', 'b', 'c'], &['c', 'd']), "cabd");
        assert_eq!(order(&['a', 'b'], &['x', 'y']), "axby");
        assert_eq!(order(&[], &['x', 'y']), "xy");
        assert_eq!(fused(&['a'], &['a']), [('a', 1.0)]);
        assert!((fused(&['a', 'b'], &[])[1].1 - 61.0 / 62.0 / 2.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_made(first in prop::collection::hash_set(0..40, 0..30), second in prop::collection::hash_set(0..40, 0..30)) {
            let (a, b): (Vec<i32>, Vec<i32>) = (first.iter().copied().collect(), second.iter().copied().collect());
            let found = fused(&a, &b);
            prop_assert_eq!(found.len(), first.union(&second).count());
            prop_assert!(found.is_sorted_by(|x, y| x.1 >= y.1));
            prop_assert!(found.iter().all(|(_, score)| (0.0..=1.0).contains(score)));
        }
    }
}
