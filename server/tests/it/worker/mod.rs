//! Embedding: workers, their models and their jobs.

mod endpoints;
mod jobs;
mod local_model;
mod models;
mod turns;
