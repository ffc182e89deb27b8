//! Whose turn it is: one task at a time for each AgentFS.
