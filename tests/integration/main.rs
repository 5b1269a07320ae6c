//! The daemon as a process, with real clients: many at once, killed ones, and such as ask for nonsense.
#![allow(clippy::unwrap_used)]

mod crash;
mod elsewhere;
mod events;
mod input;
mod rights;
mod stress;
mod workers;
mod world;
