//! A step's launches, summed up by kernel and format.

use std::collections::HashMap;
use std::ops::Range;

use tiefsee::gpu::{Profile, Work};
use tiefsee::selftest::Roof;

use super::samples::median;
use super::traffic::{Traffic, traffic};

/// The launches of a kernel with weights of a format.
pub(super) struct Op {
    pub(super) kernel: &'static str,
    pub(super) format: Option<&'static str>,
    pub(super) launches: usize,
    /// Seconds of all of them, in each repetition.
    pub(super) seconds: Vec<f64>,
    /// What all of them move and compute.
    pub(super) traffic: Traffic,
}

impl Op {
    /// Kernel and format.
    pub(super) fn name(&self) -> String {
        match self.format {
            Some(format) => format!("{} {format}", self.kernel),
            None => self.kernel.to_owned(),
        }
    }

    /// Seconds of all launches, in the middle of the repetitions.
    pub(super) fn took(&self) -> f64 {
        // A clock may be too coarse for a launch.
        median(&self.seconds).max(1e-9)
    }

    /// Bytes a second of what must be moved.
    pub(super) fn bandwidth(&self) -> f64 {
        self.traffic.least as f64 / self.took()
    }

    /// Operations a second.
    pub(super) fn speed(&self) -> f64 {
        self.traffic.operations as f64 / self.took()
    }

    /// Operations for each byte that must be moved.
    pub(super) fn intensity(&self) -> f64 {
        self.traffic.operations as f64 / self.traffic.least.max(1) as f64
    }

    /// What share of the device's bandwidth, and of its peak, it reaches.
    pub(super) fn shares(&self, roof: &Roof) -> [f64; 2] {
        [self.bandwidth() / roof.bandwidth, self.speed() / roof.peak]
    }
}

/// Sums up the launches of a step of one sequence's tokens at `positions`, those that take longest first.
pub(super) fn by_op<'a>(
    works: impl Iterator<Item = &'a Work>,
    positions: &Range<usize>,
    profiles: &[Profile],
) -> Vec<Op> {
    let mut ops: Vec<Op> = Vec::new();
    let mut known = HashMap::new();
    for (launch, work) in works.enumerate() {
        let format = work.weight.map(|part| part.format.name);
        let index = *known.entry((work.kernel, format)).or_insert_with(|| {
            ops.push(Op {
                kernel: work.kernel,
                format,
                launches: 0,
                seconds: vec![0.0; profiles.len()],
                traffic: Traffic::default(),
            });
            ops.len() - 1
        });
        let op = &mut ops[index];
        op.launches += 1;
        op.traffic += traffic(work, positions);
        for (sum, profile) in op.seconds.iter_mut().zip(profiles) {
            *sum += profile.times[launch].as_secs_f64();
        }
    }
    ops.sort_by(|a, b| b.took().total_cmp(&a.took()));
    ops
}
