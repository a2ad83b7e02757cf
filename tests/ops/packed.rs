//! Rows on their way into a cache that packs them.

use tiefsee::gpu::{Cache, CacheType, Gpu, Tensor, cache};
use tiefsee::ops::{self, JoinedHeads, LatentColumns, Latents, Pairing, RopeColumns};

use crate::common::{floats, integers, layouts, noise, open, run};
use crate::reference::stored_row;

const SLOTS: usize = 17;
const PLACES: [u32; 6] = [16, 0, 5, 1, 11, 7];

#[test]
fn pack_rows() {
    for gpu in layouts() {
        for kind in cache::ALL {
            for (tokens, width) in [(1, 8), (6, 40), (2, 64), (3, 576), (6, 2056)] {
                let steps = noise(tokens * width, 80);
                // Eighths of a step, so that ties are exact.
                let exact: Vec<f32> = steps.iter().map(|x| (x * 1016.0).round() / 8.0).collect();
                check_pack_rows(&gpu, kind, width, &exact);
                let wide: Vec<f32> = (steps.iter().zip(noise(tokens * width, 81)))
                    .map(|(x, exponent)| x * (30.0 * exponent).exp2())
                    .collect();
                check_pack_rows(&gpu, kind, width, &wide);
            }
        }
    }
}

fn check_pack_rows(gpu: &Gpu, kind: &'static CacheType, width: usize, x: &[f32]) {
    let tokens = x.len() / width;
    let row_words = kind.row_words(2 * width);
    let mut expected = vec![7u32; SLOTS * row_words];
    let actual = integers(&packed(gpu, kind, width, x));
    for (row, place) in x.chunks(width).zip(PLACES) {
        let words = stored_row(kind.name, &[&vec![0.0; width], row].concat()).words;
        expected[place as usize * row_words..][..row_words].copy_from_slice(&words);
    }
    let wrong = actual.iter().zip(&expected).position(|(a, b)| a != b);
    let what = format!("{tokens} rows of {width} in {}", kind.name);
    assert_eq!(
        wrong.map(|at| (at, actual[at], expected[at])),
        None,
        "{what}"
    );
}

/// Rows as heads of values, which are stored as they are, behind keys of zeros.
fn packed(gpu: &Gpu, kind: &'static CacheType, width: usize, x: &[f32]) -> Vec<u8> {
    let tokens = x.len() / width;
    let kv_heads = width / 8;
    let joined = JoinedHeads {
        heads: 1,
        kv_heads,
        bias: None,
        norms: None,
        rotary: RopeColumns {
            offset: 0,
            pairing: Pairing::HalfSplit,
        },
    };
    let rows = x.chunks(width);
    let x: Vec<f32> = rows
        .flat_map(|row| [&vec![0.0; 8 + width], row].concat())
        .collect();
    let mut results = run(gpu, |pass| {
        let cache = room(gpu, kind, 2 * width);
        let slots = Tensor::upload(gpu, &[tokens], &PLACES[..tokens]);
        let turns = Tensor::upload(gpu, &[tokens, 1, 2], &vec![0.5f32; 2 * tokens]);
        let x = Tensor::upload(gpu, &[tokens, 8 + 2 * width], &x);
        ops::store_heads(pass, &x, &joined, &turns, &slots, &cache);
        vec![cache.rows]
    });
    results.remove(0)
}

/// A cache in which every word is 7.
fn room(gpu: &Gpu, kind: &'static CacheType, width: usize) -> Cache {
    let words = kind.row_words(width);
    Cache {
        rows: Tensor::upload(gpu, &[SLOTS, words], &vec![7u32; SLOTS * words]),
        width,
        kind,
    }
}

#[test]
fn what_is_no_number_stays_none() {
    let gpu = open();
    for kind in [&cache::F16, &cache::Q8_0] {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut row = vec![1.0; 64];
            row[37] = bad;
            let words = integers(&packed(&gpu, kind, 64, &row));
            let words = &words[PLACES[0] as usize * kind.row_words(128)..][..kind.row_words(128)];
            let words = &words[kind.row_words(64)..];
            if kind.name == "f16" {
                let half = half::f16::from_bits((words[18] >> 16) as u16);
                assert!(half.is_nan(), "{bad} became {half}");
            } else {
                let scale = f32::from_bits(words[9]);
                assert!(!scale.is_finite(), "{bad} gave {scale}");
            }
        }
    }
}

/// Packing what an f32 cache holds gives what the ops that store put into a packed one.
#[test]
fn ops_that_store_pack_what_they_would_have_stored() {
    let gpu = open();
    let (tokens, pairs) = (6, 4);
    for kind in [&cache::F16, &cache::Q8_0] {
        for latent in [true, false] {
            let width = if latent { 40 } else { 48 };
            let results = run(&gpu, |pass| {
                let x = Tensor::upload(&gpu, &[tokens, 96], &noise(tokens * 96, 82));
                let gain = Tensor::upload(&gpu, &[28], &noise(28, 83));
                let turns = noise(tokens * pairs * 2, 84);
                let rotations = Tensor::upload(&gpu, &[tokens, pairs, 2], &turns);
                let slots = Tensor::upload(&gpu, &[tokens], &PLACES);
                let caches = [&cache::F32, kind].map(|kind| room(&gpu, kind, width));
                for cache in &caches {
                    let columns = LatentColumns {
                        offset: 3,
                        rope_start: 28,
                    };
                    let joined = JoinedHeads {
                        heads: 2,
                        kv_heads: 1,
                        bias: None,
                        norms: None,
                        rotary: RopeColumns {
                            offset: 0,
                            pairing: Pairing::HalfSplit,
                        },
                    };
                    if latent {
                        let latents = Latents {
                            kv: &x,
                            columns,
                            gain: &gain,
                            epsilon: 1e-6,
                            rotations: &rotations,
                            slots: &slots,
                            cache,
                        };
                        ops::store_latent(pass, &latents);
                    } else {
                        ops::store_heads(pass, &x, &joined, &rotations, &slots, cache);
                    }
                }
                caches.map(|cache| cache.rows).to_vec()
            });
            let (plain, packed) = (floats(&results[0]), integers(&results[1]));
            let row_words = kind.row_words(width);
            for place in PLACES.map(|place| place as usize) {
                let stored = stored_row(kind.name, &plain[place * width..][..width]);
                let packed = &packed[place * row_words..][..row_words];
                assert_eq!(packed, stored.words, "slot {place} in {}", kind.name);
            }
        }
    }
}
