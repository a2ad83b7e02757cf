//! `tiefsee bench` as a program, and what its figures rest on: no step needs memory of its own.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/engines.rs"]
mod engines;
#[path = "../common/program.rs"]
mod program;

mod compare;
mod loads;
mod picture;
mod results;
mod steps;
