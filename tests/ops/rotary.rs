//! Rotation by position, in place and on the way into the cache.

use tiefsee::gpu::{Cache, Gpu, Tensor};
use tiefsee::ops::{self, LatentColumns, Latents, Pairing, RopeColumns};

use crate::common::{assert_near, floats, layouts, noise, open, run};
use crate::{ROUNDING, reference};

/// Near and far positions, then one after the other.
pub(crate) fn positions(tokens: usize) -> Vec<u32> {
    let far = [0, 1, 64, 700, 4095, 163_839];
    far.into_iter().chain(6..).take(tokens).collect()
}

/// Cosine and sine of each token's pairs.
pub(crate) fn rotations(positions: &[u32], frequencies: &[f64]) -> Vec<f32> {
    let pair = |(&position, frequency): (&u32, &f64)| {
        let (sine, cosine) = (f64::from(position) * frequency).sin_cos();
        [cosine as f32, sine as f32]
    };
    let pairs = |position| {
        frequencies
            .iter()
            .map(move |frequency| (position, frequency))
    };
    positions.iter().flat_map(pairs).flat_map(pair).collect()
}

#[test]
fn rope() {
    let gpu = open();
    for pairing in [Pairing::Interleaved, Pairing::HalfSplit] {
        for (tokens, heads, stride, offset, pairs) in [
            (1, 1, 2, 0, 1),
            (1, 5, 18, 12, 3),
            (6, 3, 64, 32, 16),
            (4, 16, 192, 128, 32),
            (5, 3, 25, 1, 7),
        ] {
            let columns = RopeColumns { offset, pairing };
            check_rope(&gpu, [tokens, heads, stride], columns, pairs);
        }
    }
}

fn check_rope(gpu: &Gpu, shape: [usize; 3], columns: RopeColumns, pairs: usize) {
    let what = format!("{shape:?} {columns:?}, {pairs} pairs");
    let x = noise(shape.iter().product(), 30);
    let actual = rotate(gpu, &x, shape, columns, pairs);
    let other = match columns.pairing {
        Pairing::Interleaved => Pairing::HalfSplit,
        Pairing::HalfSplit => Pairing::Interleaved,
    };
    assert_near(
        &actual,
        &expected_rope(&x, shape, columns, pairs),
        ROUNDING,
        &what,
    );
    if pairs > 1 && shape[0] > 1 {
        let wrong = expected_rope(
            &x,
            shape,
            RopeColumns {
                pairing: other,
                ..columns
            },
            pairs,
        );
        let differs = |(a, b): (&f32, &f32)| (a - b).abs() > 0.1;
        assert!(
            actual.iter().zip(&wrong).any(differs),
            "{what}: any pairing would pass"
        );
    }
}

fn rotate(gpu: &Gpu, x: &[f32], shape: [usize; 3], columns: RopeColumns, pairs: usize) -> Vec<f32> {
    let frequencies = reference::rope_frequencies(2 * pairs, 10_000.0, None);
    let positions = &positions(shape[0]);
    let results = run(gpu, |pass| {
        let x = Tensor::upload(gpu, &shape, x);
        let rotations = rotations(positions, &frequencies);
        let rotations = Tensor::upload(gpu, &[positions.len(), pairs, 2], &rotations);
        ops::rope(pass, &x, &rotations, columns);
        vec![x]
    });
    floats(&results[0])
}

fn expected_rope(x: &[f32], shape: [usize; 3], columns: RopeColumns, pairs: usize) -> Vec<f32> {
    let [tokens, _, stride] = shape;
    let frequencies = reference::rope_frequencies(2 * pairs, 10_000.0, None);
    let range = columns.offset..columns.offset + 2 * pairs;
    let turning: Vec<f32> = x
        .chunks(stride)
        .flat_map(|head| &head[range.clone()])
        .copied()
        .collect();
    let rotate = match columns.pairing {
        Pairing::Interleaved => reference::rope_interleaved,
        Pairing::HalfSplit => reference::rope_halves,
    };
    let turned = rotate(&turning, &positions(tokens), &frequencies);
    let mut expected = x.to_vec();
    for (head, turned) in expected.chunks_mut(stride).zip(turned.chunks(2 * pairs)) {
        head[range.clone()].copy_from_slice(turned);
    }
    expected
}

#[test]
fn rope_of_more_pairs_than_a_dimension_has_workgroups() {
    let gpu = open();
    let shape = [2048, 32, 128];
    let columns = RopeColumns {
        offset: 0,
        pairing: Pairing::Interleaved,
    };
    check_rope(&gpu, shape, columns, 64);
}

#[test]
fn store_latent() {
    for gpu in layouts() {
        for (tokens, latent, pairs, offset, stride, rope_start, width) in [
            (1, 4, 1, 0, 6, 4, 8),
            (3, 28, 3, 0, 34, 28, 40),
            (6, 28, 3, 36, 70, 32, 40),
            (2, 64, 16, 5, 101, 64, 96),
            (5, 512, 32, 1536, 2112, 512, 576),
        ] {
            let columns = LatentColumns { offset, rope_start };
            check_store_latent(&gpu, [tokens, latent, pairs], columns, [stride, width]);
        }
    }
}

fn check_store_latent(
    gpu: &Gpu,
    [tokens, latent, pairs]: [usize; 3],
    columns: LatentColumns,
    [stride, width]: [usize; 2],
) {
    const SLOTS: usize = 17;
    let LatentColumns { offset, rope_start } = columns;
    let (x, gain) = (noise(tokens * stride, 31), noise(latent, 32));
    let frequencies = reference::rope_frequencies(2 * pairs, 10_000.0, None);
    let positions = &positions(tokens);
    let slots = [16u32, 0, 5, 1, 11, 7];
    // What was in the cache stays where nothing is stored, and goes where something is.
    let before = vec![7.5f32; SLOTS * width];
    let results = run(gpu, |pass| {
        let cache = Cache::plain(Tensor::upload(gpu, &[SLOTS, width], &before));
        let rotations = rotations(positions, &frequencies);
        let rotations = Tensor::upload(gpu, &[tokens, pairs, 2], &rotations);
        let latents = Latents {
            kv: &Tensor::upload(gpu, &[tokens, stride], &x),
            columns,
            gain: &Tensor::upload(gpu, &[latent], &gain),
            epsilon: 1e-6,
            rotations: &rotations,
            slots: &Tensor::upload(gpu, &[tokens], &slots[..tokens]),
            cache: &cache,
        };
        ops::store_latent(pass, &latents);
        vec![cache.rows]
    });
    let mut expected = before;
    for (token, row) in x.chunks(stride).enumerate() {
        let (compressed, key) = row[offset..][..latent + 2 * pairs].split_at(latent);
        let slot = &mut expected[slots[token] as usize * width..][..width];
        slot.fill(0.0);
        slot[..latent].copy_from_slice(&reference::rms_norm(compressed, &gain, 1e-6));
        let key = reference::rope_interleaved(key, &positions[token..=token], &frequencies);
        slot[rope_start..][..2 * pairs].copy_from_slice(&key);
    }
    let actual = floats(&results[0]);
    let what = format!("{tokens} tokens, latent {latent}, {columns:?}");
    assert_near(&actual, &expected, ROUNDING, &what);
    let mut zeros = actual
        .iter()
        .zip(&expected)
        .filter(|(_, expected)| **expected == 0.0);
    assert!(zeros.all(|(actual, _)| *actual == 0.0), "{what}: padding");
}
