//! PostgreSQL on one machine: finds its programs, and runs an instance.
//!
//! [`Installation`] finds the programs of a server, [`client_programs`] those of a client. [`DataFolder`] holds the data,
//! [`Instance`] is a running server, [`run_standalone`] runs one until it is told to end, on data that may be thrown away then.
//! PostgreSQL is a child of this process, runs as an unprivileged user where this process is root, and ends when this process
//! does. For that the program that uses an [`Instance`] needs the subcommand of [`ExecArgs`].

mod account;
pub mod cache;
mod cluster;
mod data_folder;
pub mod ending;
mod error;
mod exec;
mod installation;
mod instance;
pub mod leftover;
mod log_tail;
mod process;
mod programs;
mod role;
mod setting;
mod standalone;
mod version;

pub use account::Account;
pub use data_folder::DataFolder;
pub use error::PostgresError;
pub use exec::{ExecArgs, SUBCOMMAND, exec};
pub use installation::Installation;
pub use instance::{Instance, InstanceOptions};
pub use programs::{client_programs, folders_of_programs};
pub use setting::Setting;
pub use standalone::{StandaloneArgs, run_standalone};
pub use version::Version;
