//! What is asked of a step.

#[cfg(doc)]
use crate::ops::Draw;

/// How the device chooses a token by an output's scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    /// Not at all.
    None,
    /// The best one.
    Best,
    /// By chance: [`Draw`].
    Drawn,
}

/// What a step gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Want {
    /// A token of each output.
    pub choice: Choice,
    /// All scores of each output.
    pub scores: bool,
    /// Every token's experts.
    pub routes: bool,
    /// A guess of the token after each chosen one, by a model that predicts.
    pub guesses: bool,
}

impl Want {
    /// The best token of each output.
    pub const TOKENS: Self = Self {
        choice: Choice::Best,
        scores: false,
        routes: false,
        guesses: false,
    };
    /// A token of each output, drawn by chance.
    pub const DRAWN: Self = Self {
        choice: Choice::Drawn,
        scores: false,
        routes: false,
        guesses: false,
    };
    /// All scores of each output.
    pub const SCORES: Self = Self {
        choice: Choice::None,
        scores: true,
        routes: false,
        guesses: false,
    };
}
