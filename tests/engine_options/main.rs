//! What requests may ask for, against scores computed plainly: the whole sequence anew for every token.

#[path = "../common/mod.rs"]
mod common;
mod constraints;
#[path = "../common/engines.rs"]
mod engines;
mod plain;

use tiefsee::Error;
use tiefsee::engine::{EndOfThinking, FinishReason, Request, Sampling};

use constraints::by_turns;
use plain::{CONTEXT, Plain, answer, answer_all, assert_logprobs, engine, greedy, prompt, warm};

#[test]
fn logprobs_are_the_models_own_and_change_no_token() {
    let (mut engine, mut plain) = (engine(), Plain::new());
    let samplings = [
        Sampling::GREEDY,
        warm(),
        Sampling {
            presence_penalty: 1.5,
            ..Sampling::GREEDY
        },
    ];
    for (sampling, best) in samplings.into_iter().zip([0, 3, 20]) {
        let silent = Request {
            sampling,
            ..greedy(20)
        };
        let asked = Request {
            logprobs: Some(best),
            ..silent.clone()
        };
        let expected = answer(&mut engine, &silent);
        let told = answer(&mut engine, &asked);
        assert!(expected.logprobs.is_empty());
        assert_eq!((&told.tokens, told.logprobs.len()), (&expected.tokens, 20));
        let all = [prompt(), told.tokens.clone()].concat();
        let scores = plain.scores(&all).split_off(prompt().len() - 1);
        for ((told, &token), scores) in told.logprobs.iter().zip(&told.tokens).zip(&scores) {
            assert_logprobs(told, scores, token, best);
        }
    }
}

#[test]
fn a_prompts_logprobs_are_told_once_whatever_is_cached() {
    let (mut engine, mut plain) = (engine(), Plain::new());
    let scores = plain.scores(&prompt());
    for max_tokens in [0, 1, 0, 30] {
        let request = Request {
            prompt_logprobs: true,
            logprobs: Some(2),
            ..greedy(max_tokens)
        };
        // Three times 45 tokens: more than a step has room for.
        let requests = [(); 3].map(|()| request.clone());
        for answer in answer_all(&mut engine, requests) {
            assert_eq!(answer.tokens.len(), max_tokens);
            assert_eq!(answer.finish, Some(FinishReason::Length));
            assert_eq!(answer.prompt.len(), prompt().len() - 1);
            let tokens = &prompt()[1..];
            for ((told, &token), scores) in answer.prompt.iter().zip(tokens).zip(&scores) {
                assert_logprobs(told, scores, token, 2);
            }
        }
    }
    // As long as the context, if no answer is wanted.
    let full = Request {
        tokens: vec![7; CONTEXT],
        ..greedy(0)
    };
    let answer = answer_all(&mut engine, [full.clone()]).remove(0);
    assert_eq!(answer.finish, Some(FinishReason::Length));
    let more = engine.add(Request {
        max_tokens: 1,
        ..full
    });
    assert!(matches!(more, Err(Error::ContextExceeded { .. })));
}

#[test]
fn penalties_and_biases_choose_what_plain_arithmetic_does() {
    let (mut engine, mut plain) = (engine(), Plain::new());
    let usual = plain.answer(16, |_, _| ());
    let count = |answer: &[u32], token: usize| {
        let same = answer.iter().filter(|&&other| other as usize == token);
        same.count() as f32
    };
    let (frequency, presence) = (1.5, 0.7);
    let expected = plain.answer(16, |scores, answer| {
        for (token, score) in scores.iter_mut().enumerate() {
            let count = count(answer, token);
            *score -= frequency * count + presence * count.min(1.0);
        }
    });
    let mut request = greedy(16);
    request.sampling.frequency_penalty = frequency;
    request.sampling.presence_penalty = presence;
    assert_eq!(answer(&mut engine, &request).tokens, expected);

    let logit_bias = vec![(usual[0], -100.0), (usual[1], -2.0), (9, 0.5)];
    let expected = plain.answer(16, |scores, _| {
        for &(token, bias) in &logit_bias {
            scores[token as usize] += bias;
        }
    });
    assert_ne!(expected, usual);
    let mut request = greedy(16);
    request.sampling.logit_bias = logit_bias;
    assert_eq!(answer(&mut engine, &request).tokens, expected);
}

#[test]
fn stop_tokens_wait_for_the_least_length() {
    let (mut engine, mut plain) = (engine(), Plain::new());
    let usual = plain.answer(12, |_, _| ());
    let stops = vec![usual[0], usual[3]];
    let expected = plain.answer(12, |scores, answer| {
        if answer.len() < 7 {
            for &stop in &stops {
                scores[stop as usize] = f32::NEG_INFINITY;
            }
        }
    });
    let request = Request {
        stop_tokens: stops.clone(),
        min_tokens: 7,
        ..greedy(12)
    };
    let end = (0..12)
        .find(|&n| stops.contains(&expected[n]))
        .unwrap_or(12);
    assert!(end >= 7);
    assert_eq!(answer(&mut engine, &request).tokens, expected[..end]);
}

#[test]
fn thinking_ends_when_its_budget_is_spent() {
    let (mut engine, mut plain) = (engine(), Plain::new());
    let (open, close) = (95, 94);
    for budget in [0, 1, 5, 90] {
        let mut request = greedy(12);
        *request.tokens.last_mut().expect("a prompt") = open;
        request.thinking = Some(EndOfThinking {
            open,
            close,
            budget,
        });
        let tokens = answer(&mut engine, &request).tokens;
        let mut all = request.tokens.clone();
        for (place, &token) in tokens.iter().enumerate() {
            let scores = plain.scores(&all).pop().expect("the last token's");
            let best = (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
            let expected = if place == budget {
                close
            } else {
                best.expect("a token") as u32
            };
            assert_eq!(token, expected, "token {place}, budget {budget}");
            all.push(token);
        }
    }
    // Where the answer itself begins to think, its tokens count from there.
    let usual = answer(&mut engine, &greedy(12)).tokens;
    let mut request = greedy(12);
    let open = usual[2];
    request.thinking = Some(EndOfThinking {
        open,
        close,
        budget: 4,
    });
    let first = usual
        .iter()
        .position(|&token| token == open)
        .expect("it is there");
    let tokens = answer(&mut engine, &request).tokens;
    assert_eq!(tokens[..first + 5], usual[..first + 5]);
    assert_eq!(tokens[first + 5], close);
}

#[test]
fn a_resumed_answer_goes_on_as_if_nothing_had_happened() {
    let mut engine = engine();
    let base = Request {
        logprobs: Some(1),
        min_tokens: 6,
        stop_tokens: vec![20, 21, 22],
        ..greedy(24)
    };
    let mut penalised = base.clone();
    penalised.sampling = Sampling {
        frequency_penalty: 0.8,
        repetition_penalty: 1.1,
        ..warm()
    };
    let mut thinking = base.clone();
    thinking.sampling = warm();
    thinking.thinking = Some(EndOfThinking {
        open: prompt()[40],
        close: 94,
        budget: 9,
    });
    let constrained = Request {
        constraint: Some(by_turns(0)),
        ..base.clone()
    };
    for request in [base, penalised, thinking, constrained] {
        let whole = answer(&mut engine, &request);
        for generated in [1, 4, 6, whole.tokens.len() - 1] {
            let rest = answer(&mut engine, &request.after(&whole.tokens[..generated]));
            assert_eq!(rest.tokens, whole.tokens[generated..]);
            assert_eq!(rest.finish, whole.finish);
            assert_eq!(rest.logprobs.len(), rest.tokens.len());
        }
    }
}

#[test]
fn requests_out_of_range_are_refused() {
    let mut engine = engine();
    let change: [fn(&mut Request); 6] = [
        |request| request.logprobs = Some(21),
        |request| request.min_tokens = 9,
        |request| request.sampling.logit_bias = vec![(5_000_000, 1.0)],
        |request| request.sampling.presence_penalty = 3.0,
        |request| {
            request.thinking = Some(EndOfThinking {
                open: 95,
                close: 96,
                budget: 1,
            });
        },
        |request| request.resumed = request.tokens.len(),
    ];
    for change in change {
        let mut request = greedy(8);
        change(&mut request);
        assert!(matches!(engine.add(request), Err(Error::Usage(_))));
    }
    assert!(engine.is_idle());
}
