//! Reading checkpoints: what is in them, and every way in which they can be damaged.

mod config;
mod damaged;
mod files;
mod reading;
