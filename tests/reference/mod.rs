//! The models again, in plain Rust, from the ops of [`tiefsee::reference`]; and what transformers computed.
//!
//! Never touches a GPU. Works on f64 from the first sum to the last.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each test file uses another part of this module"
)]

pub mod config;
pub mod golden;
pub mod model;
mod rows;
pub mod tensors;

pub use tiefsee::reference::*;

/// Fails unless all values are within `tolerance`, absolutely, and none is NaN.
#[track_caller]
pub fn assert_close(actual: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    for (index, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        // Written so that NaN fails.
        assert!(
            (actual - expected).abs() <= tolerance,
            "{what}, value {index}: {actual} instead of {expected}"
        );
    }
}
