//! Constants that suit a device: an op names those that would do, the first of which is the default, and the
//! best is known from measuring.
//!
//! All of them give the same numbers but for rounding. Measuring runs what a model really runs:
//! [`Gpu::try_constants`] lets recordings take another candidate, `Recording::time_choices` times its launches.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use web_time::Duration;

use super::kernel::{Constant, Kernel};
use super::learnt::Learnt;
use super::store::hash;
use super::{Gpu, Pass, Recording};
use crate::error::Result;
use crate::formats::Format;

/// A candidate must take less than so much of the default's time to be preferred: times are noisy.
const WORTH_IT: f64 = 0.95;
/// Launches that are timed together.
const MOST_LAUNCHES: usize = 8;
/// Times that they are run, of which the least counts.
const REPEATS: usize = 2;

/// A kernel, a format and a shape, as a word.
pub(super) type Question = Rc<str>;

/// What may be answered, and what became of it so far.
struct Open {
    candidates: Vec<Vec<Constant>>,
    /// The least time of each candidate that was measured.
    times: Vec<Option<Duration>>,
}

/// The questions of a device and their answers.
pub(super) struct Tuning {
    pub(super) learnt: Rc<Learnt>,
    /// Questions that no earlier run has answered.
    open: RefCell<BTreeMap<Question, Open>>,
    /// The candidate that recordings take of open questions.
    trial: Cell<usize>,
    /// Whether what earlier runs answered is open as well.
    doubts: Cell<bool>,
    /// The hashes of kernels, by name.
    hashes: RefCell<HashMap<&'static str, Rc<str>>>,
}

impl Tuning {
    pub(super) fn new(learnt: Rc<Learnt>) -> Self {
        Self {
            learnt,
            open: RefCell::default(),
            trial: Cell::new(0),
            doubts: Cell::new(false),
            hashes: RefCell::default(),
        }
    }

    fn choose(&self, question: &Question, candidates: Vec<Vec<Constant>>) -> Vec<Constant> {
        let known = self.learnt.constants(question, &candidates);
        if let Some(known) = known.filter(|_| !self.doubts.get()) {
            return known.clone();
        }
        let mut open = self.open.borrow_mut();
        let times = vec![None; candidates.len()];
        let open = open
            .entry(Rc::clone(question))
            .or_insert(Open { candidates, times });
        let candidate = open.candidates.get(self.trial.get());
        candidate.unwrap_or(&open.candidates[0]).clone()
    }
}

impl Pass<'_> {
    /// The constants of `candidates` that suit `kernel` best for weights in `format` and work of a `shape`; the
    /// launch recorded next is the one that they are for.
    ///
    /// What an answer should not depend on, such as the number of tokens of a prompt, is to be left out of the shape.
    pub fn choose(
        &mut self,
        kernel: &Kernel,
        format: Option<&'static Format>,
        shape: &[usize],
        candidates: Vec<Vec<Constant>>,
    ) -> Vec<Constant> {
        let format = format.map_or("", |format| format.name);
        let shape: Vec<_> = shape.iter().map(usize::to_string).collect();
        let shape = shape.join("x");
        let mut hashes = self.gpu.tuning.hashes.borrow_mut();
        let own = hashes.entry(kernel.name);
        let own = own.or_insert_with(|| hash(kernel.wgsl).into());
        let question = format!("{} {format} {shape} {own}", kernel.name).into();
        let chosen = self.gpu.tuning.choose(&question, candidates);
        self.chosen = Some(question);
        chosen
    }
}

impl Gpu {
    /// How many candidates the question with the most of them has, of those that are not answered yet.
    pub fn open_candidates(&self) -> usize {
        let open = self.tuning.open.borrow();
        let counts = open.values().map(|open| open.candidates.len());
        counts.filter(|&count| count > 1).max().unwrap_or(0)
    }

    /// Lets what is recorded from now on take the candidate of that number where a question is open.
    pub fn try_constants(&self, candidate: usize) {
        self.tuning.trial.set(candidate);
    }

    /// Opens the questions again that earlier runs have answered, until [`Gpu::settle_constants`].
    pub fn doubt_constants(&self) {
        self.tuning.doubts.set(true);
    }

    /// Notes how long launches took whose constants were those of the present trial.
    fn note_time(&self, question: &Question, took: Duration) {
        let mut open = self.tuning.open.borrow_mut();
        let trial = self.tuning.trial.get();
        if let Some(time) = open
            .get_mut(question)
            .and_then(|open| open.times.get_mut(trial))
        {
            *time = Some(time.map_or(took, |before| before.min(took)));
        }
    }

    /// Answers the open questions by what was measured, keeps the answers, and tells how many are not the
    /// default. What is recorded from now on takes them.
    pub fn settle_constants(&self) -> usize {
        let mut changes = 0;
        self.try_constants(0);
        self.tuning.doubts.set(false);
        let open = self.tuning.open.take();
        for (question, Open { candidates, times }) in open {
            if let Some(best) = best(&times) {
                changes += usize::from(best != 0);
                let learnt = &self.tuning.learnt;
                learnt.set_constants(&question, &candidates[best]);
            }
        }
        self.tuning.learnt.keep();
        changes
    }
}

impl Recording {
    /// Times the launches whose constants are open questions: those that share one in a submit of their own, with
    /// the weights of several layers, as one layer's might stay in the device's caches.
    ///
    /// # Errors
    /// Whatever the device reports.
    pub async fn time_choices(&self, gpu: &Gpu) -> Result<()> {
        let mut groups = BTreeMap::<&Question, Vec<usize>>::new();
        for (index, launch) in self.launches.iter().enumerate() {
            if let Some(question) = &launch.choice {
                groups.entry(question).or_default().push(index);
            }
        }
        for (question, mut launches) in groups {
            launches.truncate(MOST_LAUNCHES);
            // The first run does not count: some drivers compile a kernel when it first runs.
            self.time(gpu, &launches).await?;
            for _ in 0..REPEATS {
                let took = self.time(gpu, &launches).await?;
                gpu.note_time(question, took);
            }
        }
        gpu.check()
    }

    /// How long a submit of these launches takes.
    async fn time(&self, gpu: &Gpu, launches: &[usize]) -> Result<Duration> {
        let mut encoder = gpu
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        self.encode(&mut encoder, launches.iter().copied());
        gpu.submit_watched(encoder).took(gpu).await
    }
}

/// The quickest, if the default was measured.
fn best(times: &[Option<Duration>]) -> Option<usize> {
    let default = (*times.first()?)?;
    let measured = times.iter().enumerate();
    let measured = measured.filter_map(|(index, time)| Some(((*time)?, index)));
    let (time, index) = measured.min()?;
    let worth_it = time.as_secs_f64() < WORTH_IT * default.as_secs_f64();
    Some(if worth_it { index } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quickest_candidate_is_taken_if_it_is_worth_it() {
        let times = |micros: &[u64]| -> Vec<_> {
            let time = |&micros| Some(micros).filter(|&m| m > 0).map(Duration::from_micros);
            micros.iter().map(time).collect()
        };
        assert_eq!(best(&times(&[100, 80, 90])), Some(1));
        assert_eq!(best(&times(&[100, 98, 99])), Some(0));
        assert_eq!(best(&times(&[100, 0, 60])), Some(2));
        assert_eq!(best(&times(&[0, 10])), None);
        assert_eq!(best(&times(&[100])), Some(0));
        assert_eq!(best(&[]), None);
    }
}
