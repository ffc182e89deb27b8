//! Restores in place.

mod clean;
mod command;
mod flow;
mod interrupted;
mod likeness;
mod load;
mod room;
mod site;
mod stage;
mod strategies;
mod switch;
