//! Those that have the cluster for themselves: they send the operator away, kill it, or need all of its speed.

mod large;
mod operator_away;
mod walk;
