//! Restores in place.

mod command;
mod flow;
mod interrupted;
mod likeness;
mod load;
mod room;
mod stage;
mod strategies;
mod switch;
