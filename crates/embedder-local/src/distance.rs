//! What MPNet adds to the attention of one token to another, by how far they are apart.

use super::weights::{Config, Weights};

/// The distance from which on all are alike.
const FAR: f32 = 128.0;

/// For each head, of each distance from one token to another.
pub(super) struct DistanceBias {
    tokens: usize,
    of_heads: Vec<Vec<f32>>,
}

impl DistanceBias {
    /// For texts of at most `tokens`.
    pub(super) fn load(config: &Config, weights: &Weights, tokens: usize) -> Result<Self, String> {
        let (buckets, heads) = (config.relative_attention_num_buckets, config.num_attention_heads);
        let table = weights.read("encoder.relative_attention_bias.weight", &[buckets, heads])?;
        // From the last token to the first, over a token to itself, to the first one to the last.
        let all = 2 * tokens - 1;
        let of_head = |head: usize| {
            let of = |place| table[bucket(place, tokens - 1, buckets) * heads + head];
            (0..all).map(of).collect()
        };
        Ok(Self { tokens, of_heads: (0..heads).map(of_head).collect() })
    }

    /// From the token `from` to each of the first `length`.
    pub(super) fn row(&self, head: usize, from: usize, length: usize) -> &[f32] {
        &self.of_heads[head][self.tokens - 1 - from..][..length]
    }
}

/// Where a distance is in the table: half of it is for what comes before a token, half for what comes after. The first half of each
/// has a place a distance, the rest has ever more distances a place.
fn bucket(place: usize, own: usize, buckets: usize) -> usize {
    let half = buckets / 2;
    let exact = half / 2;
    let distance = place.abs_diff(own);
    let side = if place > own { half } else { 0 };
    if distance < exact {
        return side + distance;
    }
    let ratio = (distance as f32 / exact as f32).ln() / (FAR / exact as f32).ln();
    // Rounded down, as those who made the model did.
    #[expect(clippy::cast_sign_loss, reason = "the distance is no less than `exact`")]
    let more = (ratio * (half - exact) as f32) as usize;
    side + (exact + more).min(half - 1)
}

#[cfg(test)]
mod tests {
    use super::bucket;

    #[test]
    fn near_tokens_have_places_of_their_own_and_far_ones_share() {
        let of = |distance: isize| bucket(500_usize.saturating_add_signed(distance), 500, 32);
        assert_eq!([0, -1, -7, 1, 7].map(of), [0, 1, 7, 17, 23]);
        assert_eq!([-8, -11, -12, -64, -128, -400].map(of), [8, 8, 9, 14, 15, 15]);
        assert_eq!([8, 400].map(of), [24, 31]);
    }
}
