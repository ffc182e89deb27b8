//! Moves an agent's memory from and to a file of JSON lines, by the API of a running AgentFS.

mod batch;
mod client;
mod export;
mod import;
mod import_error;
mod line;
mod lines;
mod progress;
mod state;

pub use client::{Client, ClientError, Refusal};
pub use export::{Export, ExportError};
pub use import::{Import, Imported};
pub use import_error::{Done, ImportError, Wrong};
