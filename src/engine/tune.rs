//! The constants that suit a device and a model, found by timing the launches of its own steps.

use std::rc::Rc;

use web_time::{Duration, Instant};

use super::{BLOCK, Runner, Want};
use crate::error::Result;
use crate::layers::Span;

/// Tokens of the steps whose launches are timed: the first is what an answer is made of.
const STEPS: [usize; 2] = [1, 128];

/// Whether constants are measured before a model first runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tune {
    /// No: those that are known, else the defaults.
    #[default]
    Never,
    /// Those that no earlier run has measured, if they are kept for the next one. Not on software adapters, where
    /// it takes long and other programs disturb it.
    Unknown,
    /// All of them.
    Again,
}

/// How long measuring may take that nobody asked for.
const BRIEF: Duration = Duration::from_secs(2);
/// How long it may take if asked for.
const THOROUGH: Duration = Duration::from_secs(20);

/// Measures which constants suit the device and the model, and keeps the answers. Only for a runner that has run
/// nothing yet: launches read whatever there is.
///
/// Gives how many answers are not the default.
///
/// # Errors
/// Whatever the device reports.
pub async fn tune(runner: &mut Runner, when: Tune) -> Result<usize> {
    let gpu = Rc::clone(runner.gpu());
    let budget = match when {
        Tune::Never => return Ok(0),
        Tune::Unknown if gpu.tiers.software || !gpu.is_kept() => return Ok(0),
        Tune::Unknown => BRIEF,
        Tune::Again => {
            gpu.doubt_constants();
            THOROUGH
        }
    };
    let started = Instant::now();
    let mut candidate = 0;
    // Nobody knows the questions before the first recording.
    while candidate == 0 || candidate < gpu.open_candidates() {
        gpu.try_constants(candidate);
        for tokens in STEPS {
            if started.elapsed() < budget {
                let tokens = tokens.min(runner.context());
                runner
                    .prepare(&[span(tokens)], Want::TOKENS)
                    .time_choices(&gpu)
                    .await?;
            }
            runner.forget();
        }
        candidate += 1;
    }
    Ok(gpu.settle_constants())
}

fn span(tokens: usize) -> Span {
    Span {
        tokens: vec![0; tokens],
        start: 0,
        blocks: (0..tokens.div_ceil(BLOCK) as u32).collect(),
        outputs: 1,
    }
}
