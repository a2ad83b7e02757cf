//! Queries on their way into the latent's space while latents go into the cache.

use std::rc::Rc;

use tiefsee::formats::{self, Format};
use tiefsee::gpu::{Cache, CacheType, Gpu, Tensor, cache};
use tiefsee::ops::{self, LatentColumns, Latents};

use crate::common::{
    assert_near, floats, formats_of, integers, layouts, noise, run, stored, upload,
};
use crate::rotary::{positions, rotations};
use crate::{ROUNDING, reference};

const SLOTS: usize = 9;
const PLACES: [u32; 4] = [8, 0, 5, 1];

/// Heads, columns that are absorbed, pairs, latent, columns of a row of the cache.
type Shape = [usize; 5];

#[test]
fn absorb_query() {
    // As many bindings as the device has, and as many as every device has.
    for bindings in [usize::MAX, 8] {
        for (layout, mut gpu) in layouts().into_iter().enumerate() {
            let own = Rc::get_mut(&mut gpu).expect("the only owner");
            own.storage_bindings = own.storage_bindings.min(bindings);
            for format in formats_of(layout) {
                check_absorb_query(&gpu, format, 4, [5, 12, 3, 24, 32]);
            }
            for (tokens, shape) in [
                (4, [5, 12, 3, 24, 32]),
                (1, [1, 8, 1, 8, 16]),
                (2, [2, 128, 32, 512, 576]),
            ] {
                check_packed_rows(&gpu, &formats::F32, tokens, shape);
                check_packed_rows(&gpu, &formats::BF16, tokens, shape);
            }
        }
    }
}

/// Gives the queries, and what is in a plain cache then.
fn check_absorb_query(
    gpu: &Gpu,
    format: &'static Format,
    tokens: usize,
    shape: Shape,
) -> [Vec<f32>; 2] {
    let [heads, inner, pairs, latent, width] = shape;
    let stride = inner + 2 * pairs;
    let q = noise(tokens * heads * stride, 110);
    let weight = noise(heads * latent * inner, 111);
    let [y, rows] = absorb(gpu, format, &cache::F32, tokens, shape);
    let (y, rows) = (floats(&y), floats(&rows));

    let what = format!("{} {tokens} x {shape:?}", format.name);
    let frequencies = reference::rope_frequencies(2 * pairs, 10_000.0, None);
    let positions = positions(tokens);
    let values = stored(format, &weight, inner);
    let mut expected = Vec::new();
    for (index, head) in q.chunks(stride).enumerate() {
        let matrix = &values[index % heads * latent * inner..][..latent * inner];
        let token = index / heads;
        expected.extend(reference::matmul(&head[..inner], matrix, inner));
        let tail = &head[inner..];
        expected.extend(reference::rope_interleaved(
            tail,
            &positions[token..=token],
            &frequencies,
        ));
        expected.resize((index + 1) * width, 0.0);
    }
    assert_near(&y, &expected, ROUNDING, &what);

    let mut expected = vec![7.5; SLOTS * width];
    let gain = noise(latent, 113);
    for (token, row) in kv(tokens, shape).chunks(3 + latent + 2 * pairs).enumerate() {
        let (compressed, key) = row[3..].split_at(latent);
        let slot = &mut expected[PLACES[token] as usize * width..][..width];
        slot.fill(0.0);
        slot[..latent].copy_from_slice(&reference::rms_norm(compressed, &gain, 1e-6));
        let key = reference::rope_interleaved(key, &positions[token..=token], &frequencies);
        slot[latent..][..2 * pairs].copy_from_slice(&key);
    }
    assert_near(&rows, &expected, ROUNDING, &what);

    [y, rows]
}

/// What goes into a packed cache is what a plain one gets, packed.
fn check_packed_rows(gpu: &Gpu, format: &'static Format, tokens: usize, shape: Shape) {
    let [y, rows] = check_absorb_query(gpu, format, tokens, shape);
    let [.., width] = shape;
    for kind in [&cache::F16, &cache::Q8_0] {
        let what = format!("{} {tokens} x {shape:?} in {}", format.name, kind.name);
        let [again, packed] = absorb(gpu, format, kind, tokens, shape);
        assert_eq!(floats(&again), y, "{what}");
        let (packed, words) = (integers(&packed), kind.row_words(width));
        for place in PLACES[..tokens].iter().map(|&place| place as usize) {
            let expected = reference::stored_row(kind.name, &rows[place * width..][..width]).words;
            assert_eq!(packed[place * words..][..words], expected, "{what}");
        }
    }
}

fn kv(tokens: usize, [_, _, pairs, latent, _]: Shape) -> Vec<f32> {
    noise(tokens * (3 + latent + 2 * pairs), 112)
}

/// The queries, and the cache, in which every number was 7.5.
fn absorb(
    gpu: &Gpu,
    format: &'static Format,
    kind: &'static CacheType,
    tokens: usize,
    shape: Shape,
) -> [Vec<u8>; 2] {
    let [heads, inner, pairs, latent, width] = shape;
    let stride = inner + 2 * pairs;
    let frequencies = reference::rope_frequencies(2 * pairs, 10_000.0, None);
    let results = run(gpu, |pass| {
        let before = vec![7.5f32; SLOTS * kind.row_words(width)];
        let cache = Cache {
            rows: Tensor::upload(gpu, &[SLOTS, kind.row_words(width)], &before),
            width,
            kind,
        };
        let turns = rotations(&positions(tokens), &frequencies);
        let latents = Latents {
            kv: &Tensor::upload(gpu, &[tokens, 3 + latent + 2 * pairs], &kv(tokens, shape)),
            columns: LatentColumns {
                offset: 3,
                rope_start: latent,
            },
            gain: &Tensor::upload(gpu, &[latent], &noise(latent, 113)),
            epsilon: 1e-6,
            rotations: &Tensor::upload(gpu, &[tokens, pairs, 2], &turns),
            slots: &Tensor::upload(gpu, &[tokens], &PLACES[..tokens]),
            cache: &cache,
        };
        let q = noise(tokens * heads * stride, 110);
        let q = Tensor::upload(gpu, &[tokens, heads, stride], &q);
        let weight = noise(heads * latent * inner, 111);
        let weight = upload(gpu, format, [heads, latent, inner], &weight);
        vec![ops::absorb_query(pass, &q, &weight, &latents), cache.rows]
    });
    results.try_into().expect("two results")
}
