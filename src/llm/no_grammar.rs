//! Where no grammars are: in browsers, for which what enforces them is too large.

use super::{Language, Shape};
use crate::engine::Constraint;
use crate::error::{Error, Result};
use crate::text::Prompt;

/// What would compile grammars.
#[derive(Default)]
pub(super) struct Grammars;

/// What no answer can be made to look like.
#[derive(Clone, Debug)]
pub enum Grammar {}

impl Grammar {
    /// Refuses every shape.
    ///
    /// # Errors
    /// [`Error::Parameter`] that names what asked for it.
    pub fn new(_: &Language, shape: &Shape) -> Result<Self> {
        Err(Error::Parameter {
            name: shape.field().into(),
            what: "cannot be enforced in a browser".into(),
        })
    }

    /// Nothing, as there is none.
    pub fn constraint(&self, _: &Prompt) -> Box<dyn Constraint> {
        match *self {}
    }
}
