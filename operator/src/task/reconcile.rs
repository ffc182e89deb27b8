//! The reconcile of a task, of any kind.
