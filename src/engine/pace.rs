//! Whether guessing pays, by the clock: windows of steps with and without take turns, and the faster way stays.

use web_time::Instant;

/// Steps of a window that count; those before them bring the device into step.
const STEPS: usize = 12;
const IDLE_STEPS: usize = 2;
/// Windows of a trial, of either way.
const WINDOWS: usize = 5;
/// Windows that are remembered of either way: a trial adds to what earlier ones found.
const MEMORY: usize = 15;
/// How much faster the other way must be to be taken instead of the present one.
const MARGIN: f64 = 1.05;
/// Steps between trials: at first, and at most.
const REST: usize = 1024;
const LONGEST_REST: usize = 1 << 15;

/// One answer for each number of sequences, by powers of two: what pays for one may not pay for many.
#[derive(Default)]
pub(super) struct Pace {
    ways: [Trial; 8],
    /// The last step's.
    sequences: usize,
    window: Option<Window>,
}

/// Steps that are being timed.
struct Window {
    steps: usize,
    tokens: usize,
    started: Instant,
}

/// Which way is taken, and why.
struct Trial {
    is_guessing: bool,
    /// Whether `is_guessing` is what was found, not what is being tried.
    is_settled: bool,
    winner: bool,
    /// Tokens a second without and with guesses.
    speeds: [Vec<f64>; 2],
    /// Windows of this trial so far.
    windows: usize,
    /// Steps until the next trial.
    left: usize,
    rest: usize,
}

impl Default for Trial {
    fn default() -> Self {
        Self {
            is_guessing: true,
            is_settled: false,
            winner: true,
            speeds: [Vec::new(), Vec::new()],
            windows: 0,
            left: 0,
            rest: REST,
        }
    }
}

impl Pace {
    fn index(&self, sequences: usize) -> usize {
        (sequences.max(1).ilog2() as usize).min(self.ways.len() - 1)
    }

    /// Whether steps of so many sequences are to guess now.
    pub(super) fn is_guessing(&self, sequences: usize) -> bool {
        self.ways[self.index(sequences)].is_guessing
    }

    /// Whether anybody may guess soon.
    pub(super) fn may_guess(&self) -> bool {
        self.ways
            .iter()
            .any(|trial| trial.winner || !trial.is_settled || trial.left == 0)
    }

    /// Takes note of a step, with guesses or without, that is over at `now` and gave `tokens` to `sequences`; 0 if
    /// it was not one to measure.
    pub(super) fn step(&mut self, now: Instant, sequences: usize, guesses: bool, tokens: usize) {
        if sequences == 0 || sequences != self.sequences {
            self.sequences = sequences;
            self.window = None;
        }
        if sequences == 0 {
            return;
        }
        let index = self.index(sequences);
        let trial = &mut self.ways[index];
        if trial.is_settled {
            trial.left = trial.left.saturating_sub(1);
            if trial.left == 0 {
                trial.begin();
                self.window = None;
            }
            return;
        }
        // Steps that were under way when the other way's turn came.
        if guesses != trial.is_guessing {
            return;
        }
        let window = self.window.get_or_insert(Window {
            steps: 0,
            tokens: 0,
            started: now,
        });
        window.steps += 1;
        if window.steps <= IDLE_STEPS {
            window.started = now;
            return;
        }
        window.tokens += tokens;
        if window.steps == IDLE_STEPS + STEPS {
            let seconds = now.duration_since(window.started).as_secs_f64();
            trial.add(window.tokens as f64 / seconds.max(1e-9));
            self.window = None;
        }
    }
}

impl Trial {
    fn begin(&mut self) {
        self.is_settled = false;
        self.windows = 0;
    }

    /// Takes note of a window's speed and turns to the other way, or settles.
    fn add(&mut self, speed: f64) {
        let speeds = &mut self.speeds[usize::from(self.is_guessing)];
        speeds.push(speed);
        if speeds.len() > MEMORY {
            speeds.remove(0);
        }
        self.windows += 1;
        self.is_guessing = !self.is_guessing;
        if self.windows < 2 * WINDOWS {
            return;
        }
        let [plain, guessing] = [0, 1].map(|way| median(&self.speeds[way]));
        let other = if self.winner {
            plain / guessing
        } else {
            guessing / plain
        };
        if other > MARGIN {
            self.winner = !self.winner;
            self.rest = REST;
        }
        self.is_guessing = self.winner;
        self.is_settled = true;
        self.left = self.rest;
        self.rest = (2 * self.rest).min(LONGEST_REST);
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
