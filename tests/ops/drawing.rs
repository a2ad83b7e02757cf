//! Tokens drawn by chance: the very ones of the reference, and as often as they should be.

use tiefsee::gpu::{Gpu, Tensor};
use tiefsee::ops::{self, DRAW_WORDS, Draw, NOT_FINITE};
use tiefsee::reference::{self, Drawing};

use crate::common::{integers, layouts, noise, open, run};

const PLAIN: Draw = Draw {
    seed: [5, 6],
    position: 0,
    top_k: 0,
    temperature: 1.0,
    top_p: 1.0,
    min_p: 0.0,
};

/// What may be asked for, each of it often enough to meet the others.
fn settings() -> Vec<Draw> {
    let mut all = Vec::new();
    for temperature in [0.6, 1.0, 5.0] {
        for (top_k, top_p, min_p) in [
            (0, 1.0, 0.0),
            (0, 0.95, 0.0),
            (0, 0.2, 0.0),
            (20, 0.95, 0.0),
            (3, 1.0, 0.0),
            (2, 0.4, 0.0),
            (0, 1.0, 0.3),
            (50, 0.9, 0.05),
        ] {
            all.push(Draw {
                position: all.len() as u32,
                top_k,
                temperature,
                top_p,
                min_p,
                ..PLAIN
            });
        }
    }
    all
}

/// Draws that differ from `draw` in the seed only, and in the position only. The seeds of users are small numbers
/// next to each other, and so are positions.
fn neighbours(draw: Draw, n: u32) -> [Draw; 2] {
    let seed = [n, 0];
    let position = n;
    [Draw { seed, ..draw }, Draw { position, ..draw }]
}

fn drawing(draw: &Draw) -> Drawing {
    Drawing {
        temperature: f64::from(draw.temperature),
        top_k: draw.top_k as usize,
        top_p: f64::from(draw.top_p),
        min_p: f64::from(draw.min_p),
    }
}

fn draw_by_reference(scores: &[f32], draw: &Draw) -> usize {
    let seed = u64::from(draw.seed[0]) | u64::from(draw.seed[1]) << 32;
    drawing(draw).draw(scores, seed, draw.position)
}

fn drawn(gpu: &Gpu, scores: &[f32], draws: &[Draw]) -> Vec<u32> {
    let rows = draws.len();
    let scores = Tensor::upload(gpu, &[rows, scores.len() / rows], scores);
    let draws = Tensor::upload(gpu, &[rows, DRAW_WORDS], draws);
    integers(&run(gpu, |pass| vec![ops::draw(pass, &scores, &draws)])[0])
}

fn check_draw(gpu: &Gpu, scores: &[f32], draws: &[Draw]) {
    let width = scores.len() / draws.len();
    let expected: Vec<u32> = scores
        .chunks(width)
        .zip(draws)
        .map(|(row, draw)| draw_by_reference(row, draw) as u32)
        .collect();
    assert_eq!(drawn(gpu, scores, draws), expected, "width {width}");
}

#[test]
fn draw() {
    let draws = settings();
    for gpu in layouts() {
        for width in [1, 2, 3, 7, 64, 255, 257, 1000, 5000] {
            let scores = noise(draws.len() * width, 120 + width as u64);
            let scores: Vec<f32> = scores.iter().map(|score| 6.0 * score).collect();
            check_draw(&gpu, &scores, &draws);
        }
        for &setting in &draws {
            let near: Vec<Draw> = (0..50).flat_map(|n| neighbours(setting, n)).collect();
            check_draw(&gpu, &noise(near.len() * 23, 129), &near);
        }
        // Equals, so that what is kept ends among them.
        check_draw(&gpu, &vec![-2.0; draws.len() * 300], &draws);
        let few: Vec<f32> = (0..draws.len() * 300).map(|i| (i * 7 % 5) as f32).collect();
        check_draw(&gpu, &few, &draws);
        // The ends of the range.
        let ends = [f32::MIN, f32::MAX, 0.0, -0.0, f32::MAX];
        check_draw(&gpu, &ends.repeat(draws.len()), &draws);
    }
}

#[test]
fn draw_from_a_large_vocabulary() {
    let gpu = open();
    let width = 129_280;
    let draws = [(0, 1.0), (0, 0.95), (20, 0.95), (0, 0.01)].map(|(top_k, top_p)| Draw {
        top_k,
        top_p,
        position: 77,
        ..PLAIN
    });
    let scores: Vec<f32> = noise(draws.len() * width, 130)
        .iter()
        .map(|score| 9.0 * score)
        .collect();
    check_draw(&gpu, &scores, &draws);
    // Nearly all of them have to be gone through before the few that are kept.
    check_draw(&gpu, &vec![1.0; draws.len() * width], &draws);
}

#[test]
fn draw_the_best() {
    let scores = noise(900, 131);
    let best: Vec<u32> = scores
        .chunks(100)
        .map(|row| reference::argmax(row) as u32)
        .collect();
    let only = [
        Draw { top_k: 1, ..PLAIN },
        Draw {
            top_p: 1e-6,
            ..PLAIN
        },
        Draw {
            top_p: f32::from_bits(1),
            ..PLAIN
        },
        Draw {
            min_p: 1.0,
            ..PLAIN
        },
        Draw {
            temperature: 0.0,
            ..PLAIN
        },
        Draw {
            temperature: 1e-6,
            ..PLAIN
        },
        Draw {
            temperature: f32::MIN_POSITIVE,
            ..PLAIN
        },
        Draw {
            temperature: f32::MIN_POSITIVE,
            top_p: 0.9,
            top_k: 7,
            ..PLAIN
        },
        Draw::default(),
    ];
    for gpu in layouts() {
        assert_eq!(drawn(&gpu, &scores, &only), best);
        // Of equals the first, if it is the only one that is kept.
        for only in [only[0], only[1], only[4]] {
            assert_eq!(drawn(&gpu, &[1.0, 3.0, 3.0, 3.0, 2.0], &[only]), [1]);
        }
    }
}

#[test]
fn draw_from_what_is_no_number() {
    for gpu in layouts() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for place in [0, 44, 255, 256, 299] {
                // The row before and the row behind stay as they are.
                let mut scores = noise(900, 132);
                let mut expected = drawn(&gpu, &scores, &[PLAIN; 3]);
                scores[300 + place] = bad;
                expected[1] = NOT_FINITE;
                assert_eq!(
                    drawn(&gpu, &scores, &[PLAIN; 3]),
                    expected,
                    "{bad} at {place}"
                );
            }
        }
    }
}

/// The chance that a sum of squares of so many normal numbers is larger is one in a million: Wilson and Hilferty's
/// approximation of the chi-square distribution.
fn most_unlikely(freedom: usize) -> f64 {
    let variance = 2.0 / (9.0 * freedom as f64);
    freedom as f64 * (1.0 - variance + 4.753 * variance.sqrt()).powi(3)
}

/// By the reference, which the device agrees with draw by draw.
#[test]
fn draws_are_as_frequent_as_they_should_be() {
    const ROWS: u32 = 4000;
    let scores: Vec<f32> = noise(23, 133).iter().map(|score| 2.0 * score).collect();
    for setting in settings() {
        for way in 0..2 {
            let mut counts = vec![0.0; scores.len()];
            for draw in (0..ROWS).map(|n| neighbours(setting, n)[way]) {
                counts[draw_by_reference(&scores, &draw)] += 1.0;
            }
            let kept = drawing(&setting).kept(&scores);
            let total: f64 = kept.iter().map(|(_, weight)| weight).sum();
            let mut squares = 0.0;
            for &(token, weight) in &kept {
                let expected = f64::from(ROWS) * weight / total;
                squares += (counts[token] - expected).powi(2) / expected;
                counts[token] = 0.0;
            }
            assert!(
                counts.iter().all(|&count| count == 0.0),
                "{setting:?}: others are drawn"
            );
            let freedom = kept.len() - 1;
            let most = if freedom == 0 {
                0.0
            } else {
                most_unlikely(freedom)
            };
            assert!(
                squares <= most,
                "{setting:?}: {squares} for {freedom} degrees of freedom"
            );
        }
    }
}
