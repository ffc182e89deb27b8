//! The controller of the kind `AgentFSBackup`.
