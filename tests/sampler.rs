//! Sampling: scores to a token, without a GPU.

use tiefsee::Error;
use tiefsee::engine::{Sampler, Sampling};

fn sampling(change: impl FnOnce(&mut Sampling)) -> Sampling {
    let mut sampling = Sampling {
        temperature: 1.0,
        seed: 7,
        ..Sampling::GREEDY
    };
    change(&mut sampling);
    sampling
}

/// How often each of four tokens is chosen.
fn histogram(sampling: Sampling, scores: &[f32], history: &[u32]) -> Vec<f64> {
    let sampler = Sampler::new(sampling).expect("valid settings");
    let mut counts = vec![0.0; scores.len()];
    // Only its length counts without penalties.
    let answer = vec![0; 20_000];
    for place in 0..20_000 {
        let token = sampler.sample(scores, history, &answer[..place], |_| true);
        counts[token.expect("finite scores") as usize] += 1.0 / 20_000.0;
    }
    counts
}

#[track_caller]
fn assert_shares(actual: &[f64], expected: [f64; 4]) {
    for (actual, expected) in actual.iter().zip(expected) {
        // Four deviations of 20,000 draws.
        assert!(
            (actual - expected).abs() < 0.015,
            "{actual} instead of {expected}"
        );
        assert!(
            expected > 0.0 || *actual == 0.0,
            "an excluded token was chosen"
        );
    }
}

#[test]
fn sampling_follows_the_distribution() {
    // Probabilities 0.1, 0.4, 0.2, 0.3.
    let scores = [1.0f32, 4.0, 2.0, 3.0].map(f32::ln);
    assert_shares(
        &histogram(sampling(|_| ()), &scores, &[]),
        [0.1, 0.4, 0.2, 0.3],
    );
    assert_shares(
        &histogram(sampling(|s| s.top_k = 2), &scores, &[]),
        [0.0, 4.0 / 7.0, 0.0, 3.0 / 7.0],
    );
    // 0.4 and 0.3 reach 0.65 together.
    assert_shares(
        &histogram(sampling(|s| s.top_p = 0.65), &scores, &[]),
        [0.0, 4.0 / 7.0, 0.0, 3.0 / 7.0],
    );
    // At least 0.45 of the best: 0.2 is 0.5 of it, 0.1 is 0.25.
    assert_shares(
        &histogram(sampling(|s| s.min_p = 0.45), &scores, &[]),
        [0.0, 4.0 / 9.0, 2.0 / 9.0, 3.0 / 9.0],
    );
    // Half the temperature squares the weights.
    let squared = histogram(sampling(|s| s.temperature = 0.5), &scores, &[]);
    assert_shares(&squared, [1.0 / 30.0, 16.0 / 30.0, 4.0 / 30.0, 9.0 / 30.0]);
}

/// The best token after a prompt and the answer so far.
fn best(change: impl FnOnce(&mut Sampling), scores: &[f32], prompt: &[u32], answer: &[u32]) -> u32 {
    let greedy = sampling(|s| {
        s.temperature = 0.0;
        change(s);
    });
    let sampler = Sampler::new(greedy).expect("valid");
    assert!(!sampler.is_greedy(), "the GPU does not change scores");
    let token = sampler.sample(scores, prompt, answer, |_| true);
    token.expect("finite scores")
}

#[test]
fn the_repetition_penalty_moves_seen_tokens_down() {
    let penalty = |s: &mut Sampling| s.repetition_penalty = 2.0;
    assert_eq!(best(penalty, &[3.0, 2.0, 1.0], &[], &[]), 0);
    let once = "once, however often it was seen";
    assert_eq!(best(penalty, &[3.0, 2.0, 1.0], &[0, 0], &[0]), 1, "{once}");
    let negative = "negative scores move down too";
    assert_eq!(
        best(penalty, &[-1.0, -1.5, -3.0], &[0], &[]),
        1,
        "{negative}"
    );
}

#[test]
fn frequency_and_presence_count_the_answer_alone() {
    let scores = [3.0, 2.0, 1.0];
    let frequency = |s: &mut Sampling| s.frequency_penalty = 0.6;
    assert_eq!(
        best(frequency, &scores, &[0, 0, 0], &[0]),
        0,
        "0.6 are less than 1"
    );
    assert_eq!(best(frequency, &scores, &[], &[0, 0]), 1, "1.2 are more");
    let presence = |s: &mut Sampling| s.presence_penalty = 1.1;
    assert_eq!(best(presence, &scores, &[0], &[]), 0);
    assert_eq!(
        best(presence, &scores, &[], &[0, 0, 1]),
        0,
        "1.9 are more than 0.9"
    );
    assert_eq!(best(presence, &scores, &[], &[0]), 1);
    let both = |s: &mut Sampling| (s.frequency_penalty, s.presence_penalty) = (-0.5, -0.6);
    assert_eq!(best(both, &scores, &[], &[1]), 1, "negative ones move up");
}

#[test]
fn biases_are_added_and_forbidden_tokens_left_aside() {
    let bias = |s: &mut Sampling| s.logit_bias = vec![(2, 2.5), (0, -0.75)];
    assert_eq!(best(bias, &[3.0, 2.0, 1.0], &[], &[]), 2);
    let only = Sampler::new(sampling(|s| s.top_k = 2)).expect("valid");
    for place in 0..50 {
        let answer = vec![0; place];
        let token = only.sample(&[5.0, 1.0, 4.0, 0.0], &[], &answer, |token| token % 2 == 1);
        assert!(matches!(token, Some(1 | 3)));
    }
    assert_eq!(only.sample(&[1.0, 2.0], &[], &[], |_| false), None);
}

#[test]
fn seeds_repeat_and_can_be_resumed() {
    let scores: Vec<f32> = (0..50u8).map(|n| f32::from(n * 5 % 50) / 16.0).collect();
    let sampler = Sampler::new(sampling(|_| ())).expect("valid");
    let draw = |place: usize| {
        let token = sampler.sample(&scores, &[], &vec![0; place], |_| true);
        token.expect("finite")
    };
    // Written down, so that a platform that draws otherwise is noticed.
    assert_eq!((0..12).map(draw).collect::<Vec<_>>(), SEED_7);
    assert_eq!((5..12).map(draw).collect::<Vec<_>>(), SEED_7[5..]);
}

const SEED_7: [u32; 12] = [22, 6, 45, 38, 39, 27, 11, 37, 41, 24, 5, 16];

#[test]
fn scores_that_are_not_numbers_choose_nothing() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for sampling in [Sampling::GREEDY, sampling(|_| ())] {
            let sampler = Sampler::new(sampling).expect("valid");
            let token = sampler.sample(&[0.0, bad, 1.0], &[], &[], |_| true);
            assert_eq!(token, None);
        }
    }
}

#[test]
fn ties_go_to_the_lower_token() {
    let choose = |sampling, scores: &[f32]| {
        let sampler = Sampler::new(sampling).expect("valid");
        sampler.sample(scores, &[], &[], |_| true)
    };
    assert_eq!(choose(Sampling::GREEDY, &[1.0, 3.0, 3.0, 2.0]), Some(1));
    let only_one = sampling(|s| s.top_k = 1);
    assert_eq!(choose(only_one, &[1.0, 3.0, 3.0]), Some(1));
}

#[test]
fn settings_out_of_range_are_refused() {
    let bad: [fn(&mut Sampling); 10] = [
        |s| s.temperature = -1.0,
        |s| s.temperature = f32::NAN,
        |s| s.top_p = 0.0,
        |s| s.top_p = 1.5,
        |s| s.min_p = 2.0,
        |s| s.repetition_penalty = 0.0,
        |s| s.frequency_penalty = 2.5,
        |s| s.presence_penalty = f32::NAN,
        |s| s.logit_bias = vec![(3, 1.0), (1, 101.0)],
        |s| s.logit_bias = vec![(3, f32::NAN)],
    ];
    for change in bad {
        assert!(matches!(
            Sampler::new(sampling(change)),
            Err(Error::Usage(_))
        ));
    }
}
