//! Embedding: workers, their models and their jobs.

mod choice;
mod chunks;
mod endpoints;
mod jobs;
mod local_model;
mod models;
mod turns;
