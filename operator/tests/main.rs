//! The operator's tests: golden files of every child, the rules of the resource definition, and whole
//! reconciles against an API server in memory.

#![allow(clippy::unwrap_used)] // clippy knows only the functions marked #[test] as tests

mod api_server;
mod backup;
mod chart;
mod contract;
mod crd;
mod cronjobs;
mod external;
mod fixtures;
mod golden;
mod lost_volume;
mod metrics;
mod operations_port;
mod plugin;
mod pod_settings;
mod pods;
mod pooler;
mod postgres_image;
mod reconcile;
mod recovery;
mod restore;
mod restore_status;
mod rights;
mod rotation;
mod rules;
mod samples;
mod scaling;
mod states;
mod status;
mod suspend;
mod tasks;
mod troubleshooting;
mod upgrade;
mod volumes;
mod worker;
mod world;
