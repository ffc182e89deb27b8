//! Raises the limit of open files to the connection limit.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Open files besides client connections: connections to the database, logs, the runtime.
const OTHERS: u64 = 200;

/// Raises the soft limit of open files to the hard one; warns if that is too low for `connections`.
pub fn allow_open_files(connections: u32) {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        Ok(hard)
    });
    match raised {
        Ok(limit) if limit < u64::from(connections) + OTHERS => tracing::warn!(
            "this process may open {limit} files, too few for {connections} connections; raise the limit of open files (ulimit -Hn), or lower MAX_CONNECTIONS"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!("the limit of open files cannot be raised: {error}"),
    }
}
