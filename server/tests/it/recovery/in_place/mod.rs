//! Restores in place.

mod command;
mod flow;
mod likeness;
mod load;
mod room;
mod stage;
mod strategies;
mod switch;
