//! The Job of a task, made from a CronJob of its AgentFS.
