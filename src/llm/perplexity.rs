//! How well a model foretells a text, and how far its scores are from another run's.

use super::language::{beginning, load_tokenizer, load_tokenizer_config};
use super::scores::{ScoreOptions, Scorer};
use crate::checkpoint::{Checkpoint, StoredTensor, TensorFile};
use crate::error::{Error, Result};
use crate::gpu::AdapterReport;
use crate::models::{Progress, architecture};

/// Tokens of a window unless asked otherwise.
const WINDOW: usize = 512;

/// A text as a model reads it: cut into windows of which none sees another.
///
/// If the checkpoint wants a beginning-of-sequence token, each window starts with it and foretells every
/// token of its part of the text. Else each window's first token is only read, and not foretold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Windows {
    /// The tokens that are read, window by window.
    pub tokens: Vec<u32>,
    /// The place of each in its window.
    pub positions: Vec<u32>,
    /// Tokens of every window but the last, which may have fewer.
    pub length: usize,
    /// Scores of a token.
    pub vocabulary: usize,
}

impl Windows {
    /// Cuts `text` into windows of `length` tokens (512, or the model's context, if `None`) and keeps
    /// the first `most` of them.
    ///
    /// # Errors
    /// [`Error::Usage`] for a text of which nothing can be foretold or a length that makes no sense; those
    /// of reading the tokenizer.
    pub async fn cut(
        checkpoint: &Checkpoint,
        text: &str,
        length: Option<usize>,
        most: Option<usize>,
    ) -> Result<Self> {
        let shape = (architecture(checkpoint)?.shape)(checkpoint)?;
        let tokenizer = load_tokenizer(checkpoint, shape.vocabulary).await?;
        let first = beginning(&load_tokenizer_config(checkpoint).await?, &tokenizer);
        let length = length.unwrap_or(WINDOW.min(shape.context));
        if !(2..=shape.context).contains(&length) {
            let most = shape.context;
            return Err(Error::Usage(format!(
                "windows of {length} tokens make no sense: 2 to {most} do (--ctx)"
            )));
        }
        let text = tokenizer.encode_with_specials(text)?;
        // A text that writes the token itself does not get it twice.
        let text = match text.first() {
            Some(_) if text.first() == first.as_ref() => &text[1..],
            _ => &text[..],
        };
        let mut windows = Self {
            tokens: Vec::new(),
            positions: Vec::new(),
            length,
            vocabulary: shape.vocabulary,
        };
        let own = length - usize::from(first.is_some());
        for part in text.chunks(own).take(most.unwrap_or(usize::MAX)) {
            let window = first.iter().chain(part);
            // A single token foretells nothing.
            if window.clone().count() > 1 {
                windows.tokens.extend(window.clone());
                windows.positions.extend((0..).zip(window).map(|(i, _)| i));
            }
        }
        if windows.tokens.is_empty() {
            return Err(Error::Usage(
                "the text is too short: there is no token to foretell".into(),
            ));
        }
        Ok(windows)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.positions.iter().filter(|&&place| place == 0).count()
    }

    /// The token that follows the one at `index` in the same window.
    fn next(&self, index: usize) -> Option<u32> {
        let place = self.positions.get(index + 1)?;
        (*place > 0).then(|| self.tokens[index + 1])
    }
}

/// The scores of another run: the tensor `logits`, `[tokens, vocabulary]`, with the `tokens` they are of.
pub struct Reference {
    file: TensorFile,
}

impl Reference {
    /// Checks that `file` has the scores of exactly these windows.
    ///
    /// # Errors
    /// [`Error::Damaged`] for tensors that are missing or have another shape, [`Error::Usage`] for the
    /// scores of other tokens.
    pub async fn new(file: TensorFile, windows: &Windows) -> Result<Self> {
        let count = windows.tokens.len();
        let logits = tensor(&file, "logits")?;
        for (name, own) in [
            ("tokens", &windows.tokens),
            ("positions", &windows.positions),
        ] {
            let stored = tensor(&file, name)?;
            let other = |place: String| {
                Error::Usage(format!(
                    "{}: has the scores of other {name} than this text in windows of {}: {place}",
                    file.path(),
                    windows.length
                ))
            };
            // What is too long is not read.
            let length = stored.rows() * stored.columns();
            if length != count {
                return Err(other(format!("it has {length} of them, this text {count}")));
            }
            if stored.bytes() != (size_of::<u32>() * count) as u64 {
                let what = format!("tensor `{name}` has the type {}, not I32", stored.encoding);
                return Err(Error::damaged(file.path(), what));
            }
            let bytes = stored.read_row_bytes(0..stored.rows()).await?;
            let found: Vec<u32> = bytemuck::pod_collect_to_vec(&bytes);
            let differs = own.iter().zip(&found).position(|(own, found)| own != found);
            if let Some(index) = differs {
                let (own, found) = (own[index], found[index]);
                return Err(other(format!("number {index} is {found}, not {own}")));
            }
        }
        if logits.shape != [count, windows.vocabulary] {
            let what = format!(
                "tensor `logits` has the shape {:?}, not {:?}",
                logits.shape,
                [count, windows.vocabulary]
            );
            return Err(Error::damaged(file.path(), what));
        }
        Ok(Self { file })
    }

    fn logits(&self) -> Result<StoredTensor<'_>> {
        tensor(&self.file, "logits")
    }
}

fn tensor<'f>(file: &'f TensorFile, name: &str) -> Result<StoredTensor<'f>> {
    let missing = || Error::damaged(file.path(), format!("has no tensor `{name}`"));
    file.tensor(name).ok_or_else(missing)
}

/// A mean with its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    /// The mean.
    pub value: f64,
    /// Its standard error.
    pub error: f64,
}

impl Mean {
    fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let value = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|other| (other - value).powi(2)).sum();
        let error = (squares / (count - 1.0).max(1.0) / count).sqrt();
        Self { value, error }
    }
}

/// How far the scores are from those of another run.
#[derive(Clone, Debug, PartialEq)]
pub struct Divergence {
    /// The Kullback-Leibler divergence from the other run's probabilities to these, in nats.
    pub mean: Mean,
    /// What 99 of 100 tokens do not exceed.
    pub quantile_99: f64,
    /// The most of any token.
    pub max: f64,
    /// The share of tokens after which both hold the same one for the most probable.
    pub same_top: f64,
}

/// How well a text is foretold.
#[derive(Clone, Debug, PartialEq)]
pub struct Perplexity {
    /// Tokens that were foretold.
    pub scored: usize,
    /// The mean of their negative log probabilities, in nats.
    pub nats: Mean,
    /// Against another run's scores.
    pub divergence: Option<Divergence>,
}

impl Perplexity {
    /// The exponential of the mean, and its standard error.
    pub fn perplexity(&self) -> Mean {
        let value = self.nats.value.exp();
        Mean {
            value,
            error: value * self.nats.error,
        }
    }
}

/// A model, the windows it reads and what it is compared with.
pub struct Evaluation {
    scorer: Scorer,
    windows: Windows,
    reference: Option<Reference>,
}

impl Evaluation {
    /// Loads the model for `windows`.
    ///
    /// # Errors
    /// As [`Scorer::load`].
    pub async fn load(
        checkpoint: &Checkpoint,
        windows: Windows,
        reference: Option<Reference>,
        options: &ScoreOptions,
        progress: &dyn Fn(Progress),
    ) -> Result<Self> {
        Ok(Self {
            scorer: Scorer::load(checkpoint, windows.length, options, progress).await?,
            windows,
            reference,
        })
    }

    /// The adapter that computes.
    pub fn adapter(&self) -> &AdapterReport {
        self.scorer.adapter()
    }

    /// A sentence for each feature of the device that is not used because it does not work.
    pub fn disabled(&self) -> &[String] {
        self.scorer.disabled()
    }

    /// Reads all windows. `save` has the scores of neighbouring tokens, `[tokens, vocabulary]`, as they
    /// come.
    ///
    /// # Errors
    /// [`Error::NonFinite`] for scores that are no numbers, those of `save`, and whatever the device reports.
    pub async fn run(&mut self, mut save: impl FnMut(&[f32]) -> Result<()>) -> Result<Perplexity> {
        let Self {
            scorer,
            windows,
            reference,
        } = self;
        let reference = reference.as_ref().map(Reference::logits).transpose()?;
        let mut sums = Sums::default();
        let vocabulary = windows.vocabulary;
        let mut first = 0;
        let starts_anew = |a: &u32, b: &u32| a < b;
        for window in windows.positions.chunk_by(starts_anew) {
            let tokens = first..first + window.len();
            let take = async |logits: Vec<f32>, _| {
                let rows = first..first + logits.len() / vocabulary;
                let theirs = match &reference {
                    Some(reference) => Some(reference.read_rows(rows.clone()).await?),
                    None => None,
                };
                let mut theirs = theirs
                    .as_ref()
                    .map(|theirs| theirs.chunks_exact(vocabulary));
                for (index, row) in rows.clone().zip(logits.chunks_exact(vocabulary)) {
                    let other = theirs.as_mut().and_then(Iterator::next);
                    sums.add(row, windows.next(index), other)
                        .ok_or(Error::NonFinite { position: index })?;
                }
                first = rows.end;
                save(&logits)
            };
            scorer.run(&windows.tokens[tokens], take).await?;
        }
        Ok(sums.finish())
    }
}

/// What single tokens gave.
#[derive(Default)]
struct Sums {
    nats: Vec<f64>,
    divergences: Vec<f64>,
    same: usize,
}

impl Sums {
    /// Takes note of the scores after a token; `None` if they are no numbers.
    fn add(&mut self, scores: &[f32], next: Option<u32>, reference: Option<&[f32]>) -> Option<()> {
        let own = log_sum(scores)?;
        if let Some(next) = next {
            self.nats.push(own - f64::from(scores[next as usize]));
        }
        if let Some(reference) = reference {
            let theirs = log_sum(reference)?;
            let divergence = |(own_score, their_score): (&f32, &f32)| {
                let log = f64::from(*their_score) - theirs;
                log.exp() * (log - (f64::from(*own_score) - own))
            };
            let sum: f64 = scores.iter().zip(reference).map(divergence).sum();
            // Rounding must not make it negative.
            self.divergences.push(sum.max(0.0));
            self.same += usize::from(best(scores) == best(reference));
        }
        Some(())
    }

    fn finish(mut self) -> Perplexity {
        let count = self.divergences.len();
        let divergence = (count > 0).then(|| {
            let mean = Mean::of(&self.divergences);
            self.divergences.sort_by(f64::total_cmp);
            Divergence {
                mean,
                quantile_99: self.divergences[(count * 99).div_ceil(100) - 1],
                max: self.divergences[count - 1],
                same_top: self.same as f64 / count as f64,
            }
        });
        Perplexity {
            scored: self.nats.len(),
            nats: Mean::of(&self.nats),
            divergence,
        }
    }
}

/// The logarithm of the sum of the scores' exponentials; `None` unless it is a number.
fn log_sum(scores: &[f32]) -> Option<f64> {
    let largest = f64::from(scores.iter().copied().fold(f32::MIN, f32::max));
    let exponential = |score: &f32| (f64::from(*score) - largest).exp();
    let sum = largest + scores.iter().map(exponential).sum::<f64>().ln();
    sum.is_finite().then_some(sum)
}

/// The first of the largest scores.
fn best(scores: &[f32]) -> usize {
    (1..scores.len()).fold(0, |best, i| if scores[i] > scores[best] { i } else { best })
}
