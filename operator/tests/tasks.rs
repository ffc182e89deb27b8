//! What is carried out once: whole lives of AgentFSBackups and AgentFSDrills, against an API server in memory.

mod backup;
mod deletion;
mod drill;
mod request;
mod restore;
mod states;
mod turn;
pub(crate) mod world;
