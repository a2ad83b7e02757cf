//! What an answer may say.

use tiefsee::Error;
use tiefsee::engine::{Allowed, Constraint, FinishReason, Request};

use crate::plain::{Plain, answer, answer_all, engine, greedy};

/// Even and odd tokens by turns, seven of them; fails where it is told to.
#[derive(Clone)]
struct ByTurns {
    tokens: u32,
    fails_at: u32,
}

impl Constraint for ByTurns {
    fn allowed(&mut self) -> tiefsee::Result<Allowed> {
        Ok(match self.tokens {
            7 => Allowed::End,
            tokens => Allowed::Only((0..90).filter(|token| token % 2 == tokens % 2).collect()),
        })
    }

    fn advance(&mut self, token: u32) -> tiefsee::Result<()> {
        assert_eq!(token % 2, self.tokens % 2);
        self.tokens += 1;
        if self.tokens == self.fails_at {
            return Err(Error::Usage("enough".into()));
        }
        Ok(())
    }

    fn copy(&self) -> Box<dyn Constraint> {
        Box::new(self.clone())
    }
}

pub(crate) fn by_turns(fails_at: u32) -> Box<dyn Constraint> {
    Box::new(ByTurns {
        tokens: 0,
        fails_at,
    })
}

#[test]
fn constraints_leave_what_they_allow_and_end_answers() {
    let (mut engine, mut plain) = (engine(), Plain::new());
    let expected = plain.answer(7, |scores, answer| {
        for (token, score) in scores.iter_mut().enumerate() {
            if token >= 90 || token % 2 != answer.len() % 2 {
                *score = f32::NEG_INFINITY;
            }
        }
    });
    let constrained = Request {
        constraint: Some(by_turns(0)),
        ..greedy(30)
    };
    let told = answer(&mut engine, &constrained);
    assert_eq!(
        (told.tokens, told.finish),
        (expected.clone(), Some(FinishReason::Stop))
    );

    let failing = Request {
        constraint: Some(by_turns(4)),
        ..greedy(30)
    };
    let alone = answer(&mut engine, &greedy(30)).tokens;
    let answers = answer_all(&mut engine, [failing, greedy(30), constrained]);
    assert!(matches!(answers[0].error, Some(Error::Usage(_))));
    assert_eq!(answers[0].tokens, expected[..3]);
    assert_eq!(answers[1].tokens.len(), 30, "the others go on");
    assert_eq!(answers[1].tokens, alone);
    assert_eq!(answers[2].tokens, expected);
}
