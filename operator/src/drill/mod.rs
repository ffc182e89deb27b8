//! The controller of the kind `AgentFSDrill`.
