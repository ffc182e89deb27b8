//! A PostgreSQL that runs as a child of this process.
//!
//! [`Installation`] finds the programs, [`DataFolder`] holds the data, [`Instance`] is a running server, [`Throwaway`] is one whose data
//! goes with it, and [`run_standalone`] runs one until it is told to end. PostgreSQL refuses to run as root: with the feature
//! `change-user` it runs as an unprivileged user then.

mod account;
mod cluster;
mod data_folder;
pub mod ending;
mod installation;
pub mod leftover;
mod log_tail;
mod program;
mod role;
mod running;
mod setting;
mod standalone;
mod temporary;
mod throwaway;
mod trusted;

pub use crate::error::PostgresError;
pub use account::Account;
pub use data_folder::DataFolder;
pub use installation::Installation;
pub use running::{Instance, InstanceOptions};
pub use setting::Setting;
pub use standalone::{StandaloneArgs, run_standalone};
pub use throwaway::Throwaway;
