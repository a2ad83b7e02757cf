//! How far long work has come: a bar on a terminal, a line every ten seconds elsewhere.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressStyle};
use tiefsee::models::Progress;

use super::output::note;

/// Loads that are done sooner say nothing.
const PATIENCE: Duration = Duration::from_millis(500);
const BETWEEN_LINES: Duration = Duration::from_secs(10);
const BYTES: &str = "{msg} [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
const TOKENS: &str = "{msg} [{bar:30}] {pos} of {len} tokens, {per_sec}, {eta} left";

/// Tells on standard error how a load, or work on tokens, goes on.
pub(crate) struct LoadReport {
    model: String,
    /// Whether it counts bytes, not tokens.
    bytes: bool,
    bar: Option<ProgressBar>,
    started: Instant,
    told: Cell<Instant>,
}

impl LoadReport {
    /// A report on loading `model`, which begins now.
    pub(crate) fn new(model: &str) -> Self {
        Self::counting(model, true)
    }

    /// A report on work on tokens with `model`, which begins now.
    pub(crate) fn of_tokens(model: &str) -> Self {
        Self::counting(model, false)
    }

    fn counting(model: &str, bytes: bool) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let template = if bytes { BYTES } else { TOKENS };
            let style =
                ProgressStyle::with_template(template).expect("the template is well-formed");
            ProgressBar::new(0)
                .with_style(style.progress_chars("=> "))
                .with_message(model.to_owned())
        });
        let started = Instant::now();
        Self {
            model: model.to_owned(),
            bytes,
            bar,
            started,
            told: Cell::new(started),
        }
    }

    /// Takes note of what is loaded now.
    pub(crate) fn update(&self, progress: Progress) {
        let took = self.started.elapsed();
        if took < PATIENCE {
            return;
        }
        if let Some(bar) = &self.bar {
            bar.set_length(progress.total);
            bar.set_position(progress.loaded);
        } else if self.told.get().elapsed() >= BETWEEN_LINES {
            self.told.set(Instant::now());
            note(&self.line(progress, took));
        }
    }

    /// Takes the bar away, and gives the time that loading took.
    pub(crate) fn finish(self) -> Duration {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        self.started.elapsed()
    }

    fn line(&self, Progress { loaded, total }: Progress, took: Duration) -> String {
        let rate = loaded as f64 / took.as_secs_f64();
        let left = Duration::from_secs_f64(total.saturating_sub(loaded) as f64 / rate.max(1.0));
        let (model, left) = (&self.model, HumanDuration(left));
        if self.bytes {
            let [loaded, total, rate] = [loaded, total, rate as u64].map(HumanBytes);
            format!("{model}: {loaded} of {total} done, {rate}/s, {left} left")
        } else {
            format!("{model}: {loaded} of {total} tokens, {rate:.0}/s, {left} left")
        }
    }
}
