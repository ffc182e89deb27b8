//! Those that have the cluster for themselves: they send the operator away, kill the node, or need all of its speed.

mod large;
mod node;
mod operator_away;
