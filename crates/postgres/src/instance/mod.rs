//! A PostgreSQL that runs as a child of this process.
//!
//! [`Installation`] finds the programs, [`DataFolder`] holds the data, [`Instance`] is a running server, and [`run_standalone`] runs
//! one until it is told to end, on data that may be thrown away then. PostgreSQL runs as an unprivileged user where this process is
//! root, and ends when this process does. For that the program that runs an [`Instance`] needs the subcommand [`SUBCOMMAND`],
//! which becomes PostgreSQL.

mod account;
mod cluster;
mod data_folder;
pub mod ending;
mod error;
mod exec;
mod installation;
pub mod leftover;
mod log_tail;
mod process;
mod role;
mod running;
mod setting;
mod standalone;

pub use account::Account;
pub use data_folder::DataFolder;
pub use error::PostgresError;
pub use exec::{ExecArgs, SUBCOMMAND, exec};
pub use installation::Installation;
pub use running::{Instance, InstanceOptions};
pub use setting::Setting;
pub use standalone::{StandaloneArgs, run_standalone};
