//! Has the extension vector trusted, as in AgentFS' image: who may create databases may then create it in them.
//!
//! The programs' own files stay as they are, since they may be the system's. PostgreSQL looks for control files in other folders from
//! version 18 on.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::installation::Installation;
use super::setting::Setting;
use crate::error::PostgresError;

/// Since this version there is the setting.
const CONTROL_PATHS: u32 = 18;

/// Writes the control file in `folder`, and returns the setting that has PostgreSQL find it first.
pub(super) fn extension(
    installation: &Installation,
    folder: &Path,
) -> Result<Option<Setting>, PostgresError> {
    // A colon would part the path in two.
    let Some(name) = folder.to_str().filter(|name| !name.contains(':')) else { return Ok(None) };
    if installation.version().major() < CONTROL_PATHS {
        return Ok(None);
    }
    let (given, ours) = (installation.control_file(), folder.join("extension"));
    let scripts = given.parent().unwrap_or(given).display().to_string().replace('\'', "''");
    let control = fs::read_to_string(given).map_err(PostgresError::io("read", given))?;
    let control = format!("{control}\ndirectory = '{scripts}'\ntrusted = true\n");
    let write = || {
        fs::create_dir_all(&ours)?;
        // Whatever the umask is, the user of PostgreSQL reads it.
        fs::set_permissions(&ours, Permissions::from_mode(0o755))?;
        let path = ours.join("vector.control");
        fs::write(&path, control)?;
        fs::set_permissions(&path, Permissions::from_mode(0o644))
    };
    write().map_err(PostgresError::io("write to", &ours))?;
    Ok(Some(Setting::new("extension_control_path", &format!("{name}:$system"))))
}
