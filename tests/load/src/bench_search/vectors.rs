//! Vectors as models make them: of many dimensions, of which few matter, and in groups of like ones.

use std::sync::Arc;

/// As long as those of all-MiniLM-L6-v2.
pub(crate) const DIMENSIONS: usize = 384;
/// Directions that matter.
const LATENT: usize = 24;
const TOPICS: usize = 2000;

/// The directions and the topics; the same in each run.
#[derive(Debug, Clone)]
pub(crate) struct Space {
    directions: Arc<[Vec<f32>]>,
    topics: Arc<[Vec<f32>]>,
}

/// Chance that is the same in each run (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// About normal: the sum of twelve even ones, less their mean.
    fn normal(&mut self) -> f32 {
        (0..12).map(|_| (self.next() >> 40) as f32 / (1 << 24) as f32).sum::<f32>() - 6.0
    }
}

impl Space {
    pub(crate) fn new() -> Self {
        let mut chance = Chance(7);
        let scale = (1.0 / DIMENSIONS as f32).sqrt();
        let direction =
            |chance: &mut Chance| (0..DIMENSIONS).map(|_| chance.normal() * scale).collect();
        let directions = (0..LATENT).map(|_| direction(&mut chance)).collect();
        let topic = |chance: &mut Chance| (0..LATENT).map(|_| chance.normal()).collect();
        let topics = (0..TOPICS).map(|_| topic(&mut chance)).collect();
        Self { directions, topics }
    }

    /// The vector of a thing, of length 1.
    pub(crate) fn vector(&self, thing: u64) -> Vec<f32> {
        let mut chance = Chance(thing.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let topic = &self.topics[(chance.next() % TOPICS as u64) as usize];
        let mut vector: Vec<f32> = (0..DIMENSIONS).map(|_| 0.05 * chance.normal()).collect();
        for (direction, weight) in self.directions.iter().zip(topic) {
            let weight = weight + 0.5 * chance.normal();
            vector.iter_mut().zip(direction).for_each(|(sum, part)| *sum += weight * part);
        }
        let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
        vector.iter_mut().for_each(|number| *number /= length);
        vector
    }
}

/// The cosine of two vectors of length 1.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}
