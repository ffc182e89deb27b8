//! The operator as a process: its settings, leader election, probes, metrics, and the rights it needs.

pub mod leader;
pub mod metrics;
pub mod probes;
pub mod rights;
pub mod run;
pub mod settings;
