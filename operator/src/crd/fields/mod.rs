//! Field types that kinds share: amounts, volumes, schedules, what pods are told, names of objects, conditions.

pub(super) mod conditions;
pub(super) mod moment;
pub(super) mod names;
mod pods;
mod quantity;
mod resources;
pub(super) mod schedule;
pub(super) mod storage;

pub use conditions::Conditions;
pub use pods::{Affinity, ImagePullSecret, PodSettings};
pub use quantity::Quantity;
pub use resources::Resources;
pub use storage::{Scratch, Storage};
