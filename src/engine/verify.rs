//! What a step gives its sequences: a token each, and one more for each guess that was right.

use super::drafts::Source;
use super::running::{Next, Running};
use super::{Engine, Event, FinishReason, Planned, StepOutput, TokenRoutes};
use crate::error::Result;

/// What a step ran of a sequence.
struct Part<'a> {
    planned: &'a Planned,
    /// Its first token in the step,
    token: usize,
    /// and its first output.
    row: usize,
}

/// How a sequence goes on after an output.
enum Course {
    /// With this token.
    On(u32),
    Over(FinishReason),
}

impl Engine {
    /// Guesses what comes behind the sequences whose tokens the device chooses, if the next step is to check guesses;
    /// `None` if that has to wait.
    pub(super) fn guess(&mut self) -> Option<bool> {
        let sequences = self.scheduler.load().running;
        let drafts = self.drafts.as_mut();
        let Some(drafts) = drafts.filter(|drafts| drafts.are_made(sequences)) else {
            return Some(false);
        };
        // The last tokens are known only when all steps are over.
        if !self.flight.is_empty() {
            return None;
        }
        for (id, running) in &self.running {
            if let Some(tokens) = self.scheduler.answer(*id)
                && running.takes_guesses(tokens.len())
            {
                let guesses = drafts.guess(*id, tokens);
                self.scheduler.guess(*id, guesses);
            }
        }
        Some(true)
    }

    /// Whether the model is to predict what comes behind the tokens of `plan`.
    pub(super) fn wants_predictions(&self, plan: &[Planned], guesses: bool) -> bool {
        self.drafts.as_ref().is_some_and(|drafts| {
            drafts.source == Source::Prediction && guesses
                || drafts.read_prompts() && !plan.iter().all(Planned::is_answer)
        })
    }

    /// The token after a part of a prompt.
    pub(super) fn token_after(&self, planned: &Planned) -> Option<u32> {
        let tokens = self.scheduler.tokens(planned.id);
        let is_part = !planned.complete;
        tokens.get(planned.end()).copied().filter(|_| is_part)
    }

    /// Takes note of how fast steps with and without guesses are.
    pub(super) fn time(&mut self, plan: &[Planned], guesses: bool, events: &[Event]) {
        let Some(drafts) = &mut self.drafts else {
            return;
        };
        let is_token = |event: &&Event| matches!(event, Event::Token(..));
        let tokens = events.iter().filter(is_token).count();
        let sequences = if plan.iter().all(Planned::is_answer) {
            plan.len()
        } else {
            0
        };
        drafts.ran(sequences, guesses, tokens);
    }

    /// What a step gave the sequences of its `plan`.
    pub(super) fn take(&mut self, plan: &[Planned], output: &StepOutput, events: &mut Vec<Event>) {
        let (mut token, mut row) = (0, 0);
        for planned in plan {
            let id = planned.id;
            let part = Part {
                planned,
                token,
                row,
            };
            // What was submitted before a sequence ended or was cancelled is of no use.
            if self.running.contains_key(&id)
                && let Err(error) = self.take_part(&part, output, events)
            {
                self.cancel(id);
                events.push(Event::Failed(id, error));
            }
            token += planned.span.tokens.len();
            row += planned.span.outputs;
        }
    }

    fn take_part(
        &mut self,
        part: &Part,
        output: &StepOutput,
        events: &mut Vec<Event>,
    ) -> Result<()> {
        let planned = part.planned;
        let (id, first) = (planned.id, events.len());
        let routes = self.running[&id].routes;
        self.scheduler.ran(planned);
        self.tell_prompt(part, output, events)?;
        let right = if planned.complete {
            self.choose(part, output, events)?
        } else {
            0
        };
        self.guesses.made += planned.guesses;
        self.guesses.right += right;
        if routes {
            let kept = planned.span.tokens.len() - planned.guesses + right;
            let routes = output.routes(planned, part.token, kept);
            events.insert(first, Event::Routes(id, routes));
        }
        Ok(())
    }

    /// Tells how likely the prompt's tokens were, where that is asked for.
    fn tell_prompt(
        &mut self,
        part: &Part,
        output: &StepOutput,
        events: &mut Vec<Event>,
    ) -> Result<()> {
        let Part { planned, row, .. } = *part;
        let vocabulary = self.runner.shape().vocabulary;
        let tokens = self.scheduler.tokens(planned.id);
        let running = self.running.get_mut(&planned.id);
        let running = running.expect("every planned sequence is running");
        if let Some(rows) = output.rows(row, planned.span.outputs, vocabulary)
            && let Some(prompt) = running.prompt(planned, tokens, rows)?
        {
            events.push(Event::Prompt(planned.id, prompt));
        }
        Ok(())
    }

    /// Chooses the tokens that a step brought: how many guesses were right.
    fn choose(
        &mut self,
        part: &Part,
        output: &StepOutput,
        events: &mut Vec<Event>,
    ) -> Result<usize> {
        let planned = part.planned;
        let id = planned.id;
        if self.running.get_mut(&id).is_some_and(Running::begins) {
            events.push(Event::Began(id, self.scheduler.cached_tokens(id)));
        }
        let first = part.row + planned.span.outputs - 1 - planned.guesses;
        let guesses = &planned.span.tokens[planned.span.tokens.len() - planned.guesses..];
        let mut right = 0;
        loop {
            let row = first + right;
            match self.choose_one(planned, row, right > 0, output, events)? {
                Course::Over(reason) => {
                    self.forget(id);
                    events.push(Event::Finished(id, reason));
                    return Ok(right);
                }
                // The next output has seen this very token.
                Course::On(token) if guesses.get(right) == Some(&token) => {
                    self.scheduler.keep(id);
                    right += 1;
                }
                Course::On(_) => {
                    if let (Some(drafts), Some(&guess)) =
                        (&mut self.drafts, output.guesses.get(row))
                    {
                        drafts.predict(id, guess);
                    }
                    return Ok(right);
                }
            }
        }
    }

    /// The token that output `row` of the step brings.
    fn choose_one(
        &mut self,
        planned: &Planned,
        row: usize,
        guessed: bool,
        output: &StepOutput,
        events: &mut Vec<Event>,
    ) -> Result<Course> {
        let id = planned.id;
        if self.scheduler.is_full(id) {
            self.scheduler.remove(id);
            return Ok(Course::Over(FinishReason::Length));
        }
        let vocabulary = self.runner.shape().vocabulary;
        let device = output.chosen.get(row).copied();
        let scores = output.rows(row, 1, vocabulary);
        let tokens = self.scheduler.tokens(id);
        let running = self.running.get_mut(&id);
        let running = running.expect("every planned sequence is running");
        let Next::Token(mut chosen) = running.choose(planned, tokens, device, scores)? else {
            self.scheduler.remove(id);
            return Ok(Course::Over(FinishReason::Stop));
        };
        chosen.guessed = guessed;
        let token = chosen.token;
        let finished = self.scheduler.push(id, token);
        if finished != Some(FinishReason::Stop) {
            events.push(Event::Token(id, chosen));
        }
        Ok(finished.map_or(Course::On(token), Course::Over))
    }
}

impl StepOutput {
    /// The scores of `count` outputs from `first` on, if scores were wanted.
    fn rows(&self, first: usize, count: usize, vocabulary: usize) -> Option<&[f32]> {
        let scores = self.scores.get(first * vocabulary..)?;
        scores.get(..count * vocabulary)
    }

    /// The experts of the first `tokens` of `planned`, which begin at row `first` of the step.
    fn routes(&self, planned: &Planned, first: usize, tokens: usize) -> TokenRoutes {
        let rows = |layer: &Vec<u32>| {
            let slots = layer.len() / self.tokens;
            layer[first * slots..][..tokens * slots].to_vec()
        };
        TokenRoutes {
            position: planned.span.start,
            tokens,
            layers: self.routes.iter().map(rows).collect(),
        }
    }
}
