//! The desired state of a child: apply, keep or delete; and whether it was applied.

use std::fmt::Debug;

/// What is to become of a child.
#[derive(Clone, Debug)]
pub enum Desired<K> {
    /// It shall be there, like this.
    Apply(K),
    /// It is left as it is: what it needs cannot be had now, or somebody still uses what is there.
    Keep,
    /// It shall not be there.
    Delete,
}

impl<K> Desired<K> {
    /// The object, where one is wanted.
    pub fn into_object(self) -> Option<K> {
        match self {
            Self::Apply(object) => Some(object),
            Self::Keep | Self::Delete => None,
        }
    }

    /// Whether an object is wanted.
    pub fn is_apply(&self) -> bool {
        matches!(self, Self::Apply(_))
    }

    /// The same, left as it is while what it needs is not there.
    #[must_use]
    pub fn only_if(self, is_there: bool) -> Self {
        if self.is_apply() && !is_there { Self::Keep } else { self }
    }

    /// The object is wanted if it could be made, and otherwise left.
    pub fn apply_or_keep(object: Option<K>) -> Self {
        object.map_or(Self::Keep, Self::Apply)
    }
}

/// Whether the children were applied. What is known of a child differs: before, what is to become of
/// it; after, the object as the API server has it. So nobody can take the status from objects that
/// were never written.
pub trait Stage: Clone + Debug {
    /// What is known of a child.
    type Of<K: Clone + Debug>: Clone + Debug;
}

/// Objects as they were built; nobody has them yet.
#[derive(Clone, Copy, Debug)]
pub enum Prepared {}

/// Objects as the API server has them.
#[derive(Clone, Copy, Debug)]
pub enum Applied {}

impl Stage for Prepared {
    type Of<K: Clone + Debug> = Desired<K>;
}

impl Stage for Applied {
    type Of<K: Clone + Debug> = Option<K>;
}
