//! The controller of the kind `AgentFSRestore`.
