//! How long each step took, and which one is under way.

use std::time::Instant;

use agentfs_contract::verification::Step;

use super::progress;

/// The steps that were done, in order.
#[derive(Debug, Default)]
pub(super) struct Steps(Vec<Step>);

impl Steps {
    /// Does a step and notes how long it took, whether or not it succeeds.
    pub(super) async fn time<T>(&mut self, name: &str, step: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let under = progress::step(name);
        let done = step.await;
        drop(under);
        self.0.push(Step { name: name.to_owned(), seconds: begun.elapsed().as_secs_f64() });
        done
    }

    /// Notes a step that has lasted since `begun`, of which others were told nothing.
    pub(super) fn since(&mut self, name: &str, begun: Instant) {
        self.0.push(Step { name: name.to_owned(), seconds: begun.elapsed().as_secs_f64() });
    }

    /// The steps.
    pub(super) fn into_vec(self) -> Vec<Step> {
        self.0
    }
}
