//! A child on its way: wanted, then applied.

use std::fmt::Debug;

/// What is to become of a child.
#[derive(Clone, Debug)]
pub enum Child<K> {
    /// It shall be there, like this.
    Wanted(K),
    /// It is left as it is: what it needs cannot be had now, or somebody still uses what is there.
    Left,
    /// It shall not be there.
    Unwanted,
}

impl<K> Child<K> {
    /// The object, where one is wanted.
    pub fn wanted(self) -> Option<K> {
        match self {
            Self::Wanted(object) => Some(object),
            Self::Left | Self::Unwanted => None,
        }
    }

    /// Whether an object is wanted.
    pub fn is_wanted(&self) -> bool {
        matches!(self, Self::Wanted(_))
    }

    /// The same, left as it is while what it needs is not there.
    pub fn needing(self, is_there: bool) -> Self {
        if self.is_wanted() && !is_there { Self::Left } else { self }
    }

    /// The object is wanted if it could be made, and otherwise left.
    pub fn made(object: Option<K>) -> Self {
        object.map_or(Self::Left, Self::Wanted)
    }
}

/// Whether the children were applied. What is known of a child differs: before, what is to become of
/// it; after, the object as the API server has it. So nobody can take the status from objects that
/// were never written.
pub trait State: Clone + Debug {
    /// What is known of a child.
    type Of<K: Clone + Debug>: Clone + Debug;
}

/// Objects as they were built; nobody has them yet.
#[derive(Clone, Copy, Debug)]
pub enum Prepared {}

/// Objects as the API server has them.
#[derive(Clone, Copy, Debug)]
pub enum Applied {}

impl State for Prepared {
    type Of<K: Clone + Debug> = Child<K>;
}

impl State for Applied {
    type Of<K: Clone + Debug> = Option<K>;
}
