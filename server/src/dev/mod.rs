//! The embedded PostgreSQL of one machine, and the commands that run on it.
//!
//! [`Installation`] finds the programs, [`DataFolder`] holds the data, [`Instance`] is a running server. PostgreSQL is a
//! child of this process, runs as an unprivileged user where this process is root, and ends when this process does.

mod account;
mod cluster;
mod command;
mod data_folder;
mod ending;
mod env_file;
mod error;
mod exec;
mod installation;
mod instance;
mod leftover;
mod log_tail;
mod process;
mod setting;
mod standalone;

pub use account::Account;
pub use command::{DevArgs, run};
pub use data_folder::DataFolder;
pub use error::DevError;
pub use exec::{DevPostgresExecArgs, exec_postgres};
pub use installation::{Installation, Version, folders_of_programs};
pub use instance::{Instance, InstanceOptions};
pub use setting::Setting;
pub use standalone::{DevPostgresArgs, run_postgres};
