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
    let mut sampler = Sampler::new(sampling, 0).expect("valid settings");
    let mut counts = vec![0.0; scores.len()];
    for _ in 0..20_000 {
        counts[sampler.sample(scores, history).expect("finite scores") as usize] += 1.0 / 20_000.0;
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

#[test]
fn the_penalty_moves_seen_tokens_down() {
    let mut greedy = Sampler::new(
        sampling(|s| (s.temperature, s.repetition_penalty) = (0.0, 2.0)),
        0,
    )
    .expect("valid");
    assert!(!greedy.is_greedy(), "the GPU does not know the history");
    assert_eq!(greedy.sample(&[3.0, 2.0, 1.0], &[]), Some(0));
    assert_eq!(
        greedy.sample(&[3.0, 2.0, 1.0], &[0, 0]),
        Some(1),
        "once, however often it was seen"
    );
    assert_eq!(
        greedy.sample(&[-1.0, -1.5, -3.0], &[0]),
        Some(1),
        "negative scores move down too"
    );
}

#[test]
fn seeds_repeat_and_can_be_resumed() {
    let scores: Vec<f32> = (0..50u8).map(|n| f32::from(n * 5 % 50) / 16.0).collect();
    let draws = |drawn: usize, count: usize| -> Vec<u32> {
        let mut sampler = Sampler::new(sampling(|_| ()), drawn).expect("valid");
        (0..count)
            .map(|_| sampler.sample(&scores, &[]).expect("finite"))
            .collect()
    };
    // Written down, so that a platform that draws otherwise is noticed.
    assert_eq!(draws(0, 12), SEED_7);
    assert_eq!(draws(5, 7), SEED_7[5..]);
}

const SEED_7: [u32; 12] = [22, 6, 45, 38, 39, 27, 11, 37, 41, 24, 5, 16];

#[test]
fn scores_that_are_not_numbers_choose_nothing() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for sampling in [Sampling::GREEDY, sampling(|_| ())] {
            let mut sampler = Sampler::new(sampling, 0).expect("valid");
            assert_eq!(sampler.sample(&[0.0, bad, 1.0], &[]), None);
        }
    }
}

#[test]
fn ties_go_to_the_lower_token() {
    let mut greedy = Sampler::new(Sampling::GREEDY, 0).expect("valid");
    assert_eq!(greedy.sample(&[1.0, 3.0, 3.0, 2.0], &[]), Some(1));
    let only_one = sampling(|s| s.top_k = 1);
    assert_eq!(
        Sampler::new(only_one, 0)
            .expect("valid")
            .sample(&[1.0, 3.0, 3.0], &[]),
        Some(1)
    );
}

#[test]
fn settings_out_of_range_are_refused() {
    let bad: [fn(&mut Sampling); 6] = [
        |s| s.temperature = -1.0,
        |s| s.temperature = f32::NAN,
        |s| s.top_p = 0.0,
        |s| s.top_p = 1.5,
        |s| s.min_p = 2.0,
        |s| s.repetition_penalty = 0.0,
    ];
    for change in bad {
        assert!(matches!(
            Sampler::new(sampling(change), 0),
            Err(Error::Usage(_))
        ));
    }
}
