//! The parts of a batch that are still to be written, and how a part that fails is split.
//!
//! One tenant's trouble is not another's: a part of several tenants is split by tenant, and a tenant whose part fails is put
//! off until the others' are written.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::domain::TenantId;

/// Tries of a single write that meets a lock, or of a part that only another connection can write.
pub(super) const TRIES: usize = 3;
/// How long a tenant's part is split and tried again because of locks: enough to find one locked entry in a full batch, whose
/// tries take up to a second each.
const PATIENCE: Duration = Duration::from_secs(12);

/// How a part is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// In one statement, if there are only plain puts.
    Fast,
    /// Lock, apply, write.
    Locked,
}

/// Why a part is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Others hold its rows.
    Locked,
    /// Its data is refused.
    Refused,
}

/// A part of a batch: positions of groups, in order.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) indices: Vec<usize>,
    pub(super) form: Form,
    pub(super) tries: usize,
    /// It was sent before and the connection was lost: only a look-up tells its outcome.
    pub(super) lost: bool,
    /// It is of one tenant, and comes after the other tenants' parts.
    pub(super) put_off: bool,
}

/// The parts that are still to be written.
#[derive(Debug)]
pub(super) struct Parts {
    /// Of each group of the batch.
    tenants: Vec<TenantId>,
    /// The last one comes first: depth first, left to right, so that the order of an entry's writes stays.
    stack: VecDeque<Part>,
    /// Since when tenants meet locks, and whether something of theirs was written since.
    locked: HashMap<TenantId, (Instant, bool)>,
}

impl Parts {
    /// The whole batch, whose groups belong to `tenants`.
    pub(super) fn whole(tenants: Vec<TenantId>) -> Self {
        let indices = (0..tenants.len()).collect();
        let whole = Part { indices, form: Form::Fast, tries: 1, lost: false, put_off: false };
        Self { tenants, stack: [whole].into(), locked: HashMap::new() }
    }

    /// The part to be written next.
    pub(super) fn next(&mut self) -> Option<Part> {
        self.stack.pop_back()
    }

    /// Puts a part in front of the others.
    pub(super) fn first(&mut self, part: Part) {
        self.stack.push_back(part);
    }

    /// Records that something of `part` was written.
    pub(super) fn written(&mut self, part: &Part) {
        if let Some(tenant) = self.tenant(part)
            && let Some((_, written)) = self.locked.get_mut(&tenant)
        {
            *written = true;
        }
    }

    /// Whether `part` need not be tried: for long nothing of its tenant could be written.
    pub(super) fn is_hopeless(&self, part: &Part) -> bool {
        let locked = self.tenant(part).and_then(|tenant| self.locked.get(&tenant));
        locked.is_some_and(|(since, written)| !written && since.elapsed() > PATIENCE)
    }

    /// Has what failed tried again in smaller parts, or once more. Returns the part if it has failed for good.
    pub(super) fn split(&mut self, mut part: Part, trouble: Trouble) -> Option<Part> {
        let Some(tenant) = self.tenant(&part) else {
            self.stack.extend(self.by_tenant(part));
            return None;
        };
        let is_locked = trouble == Trouble::Locked;
        if is_locked {
            let (since, _) = *self.locked.entry(tenant).or_insert_with(|| (Instant::now(), false));
            if since.elapsed() > PATIENCE {
                return Some(part);
            }
        }
        let is_put_off = std::mem::replace(&mut part.put_off, true);
        let again = if part.indices.len() > 1 {
            part.halves()
        } else if is_locked && part.tries < TRIES {
            vec![Part { tries: part.tries + 1, ..part }]
        } else {
            return Some(part);
        };
        if is_put_off {
            self.stack.extend(again.into_iter().rev());
        } else {
            again.into_iter().for_each(|part| self.stack.push_front(part));
        }
        None
    }

    /// The one tenant of a part.
    fn tenant(&self, part: &Part) -> Option<TenantId> {
        let mut tenants = part.indices.iter().map(|&index| self.tenants[index]);
        let first = tenants.next()?;
        tenants.all(|tenant| tenant == first).then_some(first)
    }

    fn by_tenant(&self, part: Part) -> impl Iterator<Item = Part> + use<> {
        let mut indices: BTreeMap<TenantId, Vec<usize>> = BTreeMap::new();
        for index in part.indices {
            indices.entry(self.tenants[index]).or_default().push(index);
        }
        let Part { form, lost, .. } = part;
        indices.into_values().map(move |indices| Part {
            indices,
            form,
            tries: 1,
            lost,
            put_off: false,
        })
    }
}

impl Part {
    /// What of it has to be written in the locked form.
    pub(super) fn again_locked(&self, indices: Vec<usize>) -> Self {
        Self { indices, form: Form::Locked, tries: 1, ..*self }
    }

    fn halves(mut self) -> Vec<Self> {
        let right = self.indices.split_off(self.indices.len() / 2);
        let right = Self { indices: right, tries: 1, ..self };
        vec![Self { tries: 1, ..self }, right]
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn parts(tenants: &[u128]) -> Parts {
        Parts::whole(tenants.iter().map(|&tenant| TenantId(Uuid::from_u128(tenant))).collect())
    }

    /// What is written and what fails, in order, where the groups `bad` meet a lock.
    fn run(tenants: &[u128], bad: &[usize], trouble: Trouble) -> (Vec<usize>, Vec<usize>, usize) {
        let mut parts = parts(tenants);
        let (mut written, mut failed, mut tries) = (Vec::new(), Vec::new(), 0);
        while let Some(part) = parts.next() {
            tries += 1;
            if part.indices.iter().any(|index| bad.contains(index)) {
                failed.extend(parts.split(part, trouble).into_iter().flat_map(|part| part.indices));
            } else {
                parts.written(&part);
                written.extend(part.indices);
            }
        }
        (written, failed, tries)
    }

    #[test]
    fn only_what_is_guilty_fails_and_order_stays() {
        let (written, failed, tries) = run(&[1; 8], &[5], Trouble::Refused);
        assert_eq!((written, failed, tries), (vec![0, 1, 2, 3, 4, 6, 7], vec![5], 7));
        let (written, failed, tries) = run(&[1; 8], &[5], Trouble::Locked);
        assert_eq!((written, failed, tries), (vec![0, 1, 2, 3, 4, 6, 7], vec![5], 9));
        assert_eq!(run(&[1], &[0], Trouble::Locked), (vec![], vec![0], TRIES));
    }

    #[test]
    fn other_tenants_are_written_before_the_guilty_one_is_searched() {
        let tenants = [2, 1, 3, 2, 1, 2];
        let (written, failed, _) = run(&tenants, &[0, 3, 5], Trouble::Locked);
        assert_eq!((written, failed), (vec![2, 1, 4], vec![0, 3, 5]));
        let (written, _, _) = run(&tenants, &[3], Trouble::Refused);
        assert_eq!(written, [2, 1, 4, 0, 5], "the order of a tenant's own writes stays");
        let (written, _, _) = run(&tenants, &[0, 1], Trouble::Refused);
        assert_eq!(written, [2, 3, 5, 4]);
    }
}
