//! What an answer may say: the engine asks before it chooses, and tells what it chose.

use std::fmt;

use crate::error::Result;

/// A rule for an answer, such as a grammar. It starts where the answer does.
pub trait Constraint: Send {
    /// The tokens that may come next.
    ///
    /// # Errors
    /// If that cannot be told; the sequence fails then.
    fn allowed(&mut self) -> Result<Allowed>;

    /// Takes note of the next token of the answer.
    ///
    /// # Errors
    /// If the token was not allowed, or the rule is beyond its limits; the sequence fails then.
    fn advance(&mut self, token: u32) -> Result<()>;

    /// The same rule at the same place, on its own from now on.
    fn copy(&self) -> Box<dyn Constraint>;
}

impl Clone for Box<dyn Constraint> {
    fn clone(&self) -> Self {
        self.copy()
    }
}

impl fmt::Debug for dyn Constraint {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("Constraint")
    }
}

/// The tokens that may come next in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// All of them, those that end the answer too.
    Any,
    /// These; the answer may end here if a stop token is among them.
    Only(TokenSet),
    /// None: the answer is complete.
    End,
}

/// A set of token ids, a bit each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenSet {
    /// Token `t` is bit `t % 32` of word `t / 32`; tokens beyond the words are not in the set.
    pub words: Vec<u32>,
}

impl TokenSet {
    /// Whether `token` is in the set.
    pub fn contains(&self, token: u32) -> bool {
        let word = self.words.get(token as usize / 32);
        word.is_some_and(|word| word >> (token % 32) & 1 == 1)
    }

    /// Takes `token` out.
    pub fn remove(&mut self, token: u32) {
        if let Some(word) = self.words.get_mut(token as usize / 32) {
            *word &= !(1 << (token % 32));
        }
    }

    /// Whether no token is in the set.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }
}

impl FromIterator<u32> for TokenSet {
    fn from_iter<T: IntoIterator<Item = u32>>(tokens: T) -> Self {
        let mut words = Vec::new();
        for token in tokens {
            let word = token as usize / 32;
            words.resize(words.len().max(word + 1), 0);
            words[word] |= 1 << (token % 32);
        }
        Self { words }
    }
}
