//! Embedding: workers, their models and their jobs.

mod jobs;
mod local_model;
mod models;
