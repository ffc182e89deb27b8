//! The answers to a batch of writes.

use super::{ChangeResult, Write};

/// The open answers: each leaves as soon as all groups of its write are done.
pub(super) struct Answers {
    writes: Vec<Option<Open>>,
    /// The write of each group of the batch.
    of_groups: Vec<usize>,
}

struct Open {
    write: Write,
    groups: usize,
    /// Of the groups that are done, by their position in the batch.
    done: Vec<(usize, Vec<ChangeResult>)>,
}

impl Answers {
    /// Of writes, each with the number of its groups.
    pub(super) fn new(writes: impl IntoIterator<Item = (Write, usize)>) -> Self {
        let mut answers = Self { writes: Vec::new(), of_groups: Vec::new() };
        for (write, groups) in writes {
            if groups == 0 {
                write.answer(Ok(Vec::new()));
                continue;
            }
            answers.of_groups.extend(std::iter::repeat_n(answers.writes.len(), groups));
            answers.writes.push(Some(Open { write, groups, done: Vec::new() }));
        }
        answers
    }

    /// Records the results of a group, which has them once.
    pub(super) fn done(&mut self, group: usize, results: Vec<ChangeResult>) {
        let open = &mut self.writes[self.of_groups[group]];
        if let Some(Open { write, .. }) = open.take_if(|open| open.groups == 1) {
            return write.answer(Ok(results));
        }
        if let Some(open) = open {
            open.done.push((group, results));
        }
        if let Some(Open { write, mut done, .. }) =
            open.take_if(|open| open.done.len() == open.groups)
        {
            done.sort_unstable_by_key(|(group, _)| *group);
            write.answer(Ok(done.into_iter().flat_map(|(_, results)| results).collect()));
        }
    }
}
