//! The daemon as a process, with real clients: many at once, killed ones, and such as ask for nonsense.
#![allow(clippy::unwrap_used)]

mod crash;
mod crowd;
mod events;
mod hammer;
mod input;
mod world;
