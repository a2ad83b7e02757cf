//! Recordings: run again, in any number of submits, on buffers that serve many tensors.

use tiefsee::formats;
use tiefsee::gpu::{Cache, Gpu, Pass, Recording, Tensor};
use tiefsee::ops::{self, Columns, Keys, LatentColumns, Latents, Pairing, RopeColumns, Splits};

use crate::common::{assert_near, floats, noise, open, run_f32, shuffled, upload};
use crate::{ROUNDING, reference};

const HEADS: usize = 3;
const LATENT: usize = 24;
const PAIRS: usize = 4;
const WIDTH: usize = LATENT + 2 * PAIRS;
const BLOCK: usize = 4;
const BLOCKS: usize = 8;

/// Decoding with one attention layer: a token of one sequence per run.
struct Step {
    recording: Recording,
    x: Tensor,
    position: Tensor,
    slot: Tensor,
    rotations: Tensor,
    blocks: Vec<u32>,
}

impl Step {
    fn new(gpu: &Gpu, cache: &Cache, splits: Splits) -> Self {
        let blocks = shuffled(BLOCKS, 90);
        let x = Tensor::new(gpu, &[1, HEADS * WIDTH]);
        let [position, slot, sequence] = [(); 3].map(|()| Tensor::new(gpu, &[1]));
        let rotations = Tensor::new(gpu, &[1, PAIRS, 2]);
        let gain = Tensor::upload(gpu, &[LATENT], &[1f32; LATENT]);
        let weight = upload(
            gpu,
            &formats::F32,
            [1, HEADS * WIDTH, HEADS * WIDTH],
            &weight(),
        );

        let mut pass = Pass::new(gpu);
        let key = LatentColumns {
            offset: 0,
            rope_start: LATENT,
        };
        let latents = Latents {
            kv: &x,
            columns: key,
            gain: &gain,
            epsilon: 1e-6,
            rotations: &rotations,
            slots: &slot,
            cache,
        };
        ops::store_latent(&mut pass, &latents);
        let q = ops::matmul(&mut pass, &x, &weight).reshape(&[1, HEADS, WIDTH]);
        let columns = RopeColumns {
            offset: LATENT,
            pairing: Pairing::Interleaved,
        };
        ops::rope(&mut pass, &q, &rotations, columns);
        let table = Tensor::upload(gpu, &[1, BLOCKS], &blocks);
        let keys = Keys {
            cache,
            positions: &position,
            sequences: &sequence,
            blocks: &table,
            block: BLOCK,
        };
        let parts = ops::latent_attention(&mut pass, &q, &keys, LATENT, splits, 1.0);
        let values = upload(
            gpu,
            &formats::F32,
            [HEADS, LATENT, LATENT],
            &noise(HEADS * LATENT * LATENT, 93),
        );
        let z = ops::merge_heads(&mut pass, &parts, &values);
        let recording = pass.finish(vec![z]);
        Self {
            recording,
            x,
            position,
            slot,
            rotations,
            blocks,
        }
    }

    fn run(&self, gpu: &Gpu, position: usize) -> Vec<f32> {
        let slot = self.blocks[position / BLOCK] * BLOCK as u32 + (position % BLOCK) as u32;
        let angles = (0..PAIRS).map(|pair| position as f32 / (pair + 1) as f32);
        let rotations: Vec<f32> = angles
            .flat_map(|angle| [angle.cos(), angle.sin()])
            .collect();
        self.x
            .write(gpu, &noise(HEADS * WIDTH, 91 + position as u64));
        self.position.write(gpu, &[position as u32]);
        self.slot.write(gpu, &[slot]);
        self.rotations.write(gpu, &rotations);
        let results = pollster::block_on(self.recording.submit(gpu).read(gpu)).expect("a run");
        floats(&results[0])
    }
}

fn weight() -> Vec<f32> {
    noise(HEADS * WIDTH * HEADS * WIDTH, 92)
}

/// A recording knows no position: what changes from step to step lies in tensors.
#[test]
fn replays_equal_fresh_recordings() {
    let gpu = open();
    for splits in [
        Splits {
            count: 1,
            keys: 128,
        },
        Splits { count: 5, keys: 3 },
    ] {
        let cache = Cache::plain(Tensor::new(&gpu, &[BLOCKS * BLOCK, WIDTH]));
        let replayed = Step::new(&gpu, &cache, splits);
        let all: Vec<_> = (0..BLOCKS * BLOCK)
            .map(|position| replayed.run(&gpu, position))
            .collect();
        for pair in all.windows(2) {
            assert_ne!(pair[0], pair[1], "the position is of no effect");
        }
        let cache = Cache::plain(Tensor::new(&gpu, &[BLOCKS * BLOCK, WIDTH]));
        for (position, expected) in all.iter().enumerate() {
            let fresh = Step::new(&gpu, &cache, splits).run(&gpu, position);
            assert_eq!(&fresh, expected, "{splits:?}, position {position}");
        }
        // Back and forth, in another order than before.
        for position in [31, 0, 17, 17, 1] {
            let again = replayed.run(&gpu, position);
            assert_eq!(
                again, all[position],
                "{splits:?}, position {position} again"
            );
        }
    }
}

/// A chain of layers in which every buffer serves several tensors.
fn chain(gpu: &Gpu, pass: &mut Pass, x: &[f32], sizes: Chain) -> Tensor {
    let Chain {
        tokens,
        width,
        layers,
    } = sizes;
    let gain = Tensor::upload(gpu, &[width], &noise(width, 101));
    let weight = upload(
        gpu,
        &formats::F32,
        [1, 2 * width, width],
        &noise(2 * width * width, 102),
    );
    let square = noise(width * width, 103);
    let square = upload(gpu, &formats::F32, [1, width, width], &square);
    let mut x = Tensor::upload(gpu, &[tokens, width], x);
    for _ in 0..layers {
        let both = ops::matmul(pass, &x, &weight);
        let hidden = ops::swiglu(pass, &both);
        drop(both);
        let normed = ops::rms_norm(pass, &hidden, Columns { offset: 0, width }, &gain, 1e-6);
        drop(hidden);
        // An upload comes before all launches, so it must not land in a buffer that they use.
        drop(Tensor::upload(
            gpu,
            &[tokens, width],
            &vec![f32::MAX; tokens * width],
        ));
        x = ops::matmul(pass, &normed, &square);
    }
    x
}

fn expected_chain(x: &[f32], sizes: Chain) -> Vec<f32> {
    let Chain { width, layers, .. } = sizes;
    let (gain, weight) = (noise(width, 101), noise(2 * width * width, 102));
    let square = noise(width * width, 103);
    let mut x = x.to_vec();
    for _ in 0..layers {
        let both = reference::matmul(&x, &weight, width);
        let (gate, up): (Vec<&[f32]>, Vec<&[f32]>) = both
            .chunks(2 * width)
            .map(|row| row.split_at(width))
            .unzip();
        let hidden = reference::swiglu(&gate.concat(), &up.concat());
        let normed = reference::rms_norm(&hidden, &gain, 1e-6);
        x = reference::matmul(&normed, &square, width);
    }
    x
}

#[derive(Clone, Copy)]
struct Chain {
    tokens: usize,
    width: usize,
    layers: usize,
}

/// Every layer multiplies the rounding of the one before.
const CHAINED: f32 = 30.0 * ROUNDING;

#[test]
fn buffers_are_reused_only_when_they_are_free() {
    let gpu = open();
    for tokens in [1, 4, 29] {
        let sizes = Chain {
            tokens,
            width: 40,
            layers: 6,
        };
        let x = noise(tokens * 40, 100);
        let actual = run_f32(&gpu, |pass| chain(&gpu, pass, &x, sizes));
        assert_near(
            &actual,
            &expected_chain(&x, sizes),
            CHAINED,
            &format!("{tokens} tokens"),
        );
    }
}

#[test]
fn recordings_share_buffers_and_run_in_turns() {
    let gpu = open();
    // Of equal buffer sizes, so that each recording reuses what the one before let go.
    let sizes = [3, 4, 3].map(|tokens| Chain {
        tokens,
        width: 40,
        layers: 2,
    });
    let inputs = [103, 104, 105].map(|seed| noise(4 * 40, seed));
    let recordings: Vec<_> = sizes
        .iter()
        .zip(&inputs)
        .map(|(&sizes, x)| {
            let mut pass = Pass::new(&gpu);
            let y = chain(&gpu, &mut pass, &x[..sizes.tokens * 40], sizes);
            pass.finish(vec![y])
        })
        .collect();
    for _ in 0..2 {
        // All of them are under way before the first is read.
        let pending: Vec<_> = recordings
            .iter()
            .map(|recording| recording.submit(&gpu))
            .collect();
        for (number, pending) in pending.into_iter().enumerate() {
            let results = pollster::block_on(pending.read(&gpu)).expect("a run");
            let (sizes, x) = (sizes[number], &inputs[number]);
            let expected = expected_chain(&x[..sizes.tokens * 40], sizes);
            assert_near(
                &floats(&results[0]),
                &expected,
                CHAINED,
                &format!("recording {number}"),
            );
        }
    }
}

#[test]
fn a_short_step_becomes_one_submit() {
    let gpu = open();
    let mut pass = Pass::new(&gpu);
    let rows = Tensor::upload(&gpu, &[1], &[0u32]);
    let mut x = Tensor::upload(&gpu, &[1, 8], &noise(8, 106));
    for _ in 0..40 {
        x = ops::gather(&mut pass, &x, &rows);
    }
    let recording = pass.finish(vec![x]);
    assert_eq!(recording.kernels().collect::<Vec<_>>(), ["gather"; 40]);
    assert!(recording.submits() > 1, "nothing is known of its time yet");
    // Only a busy machine needs more than one run.
    for run in 1.. {
        let results = pollster::block_on(recording.submit(&gpu).read(&gpu)).expect("a run");
        assert_eq!(floats(&results[0]), noise(8, 106));
        if recording.submits() == 1 {
            break;
        }
        assert!(run < 20, "still {} submits", recording.submits());
    }
}

#[test]
fn results_come_back_in_order_and_size() {
    let gpu = open();
    let x = noise(35, 107);
    let mut pass = Pass::new(&gpu);
    let source = Tensor::upload(&gpu, &[5, 7], &x);
    let gather = |pass: &mut Pass, rows: &[u32]| {
        ops::gather(pass, &source, &Tensor::upload(&gpu, &[rows.len()], rows))
    };
    let results = vec![
        gather(&mut pass, &[4]),
        source.clone(),
        gather(&mut pass, &[1, 0, 1]),
    ];
    let recording = pass.finish(results);
    for _ in 0..2 {
        let results = pollster::block_on(recording.submit(&gpu).read(&gpu)).expect("a run");
        let results: Vec<_> = results.iter().map(|bytes| floats(bytes)).collect();
        let expected = [&x[28..], &x, &[&x[7..14], &x[..7], &x[7..14]].concat()];
        assert_eq!(results, expected);
    }
    // Without launches, and without results.
    let recording = Pass::new(&gpu).finish(vec![source.clone()]);
    let results = pollster::block_on(recording.submit(&gpu).read(&gpu)).expect("a run");
    assert_eq!(floats(&results[0]), x);
    let recording = Pass::new(&gpu).finish(Vec::new());
    assert_eq!(
        pollster::block_on(recording.submit(&gpu).read(&gpu))
            .expect("a run")
            .len(),
        0
    );
}

#[test]
fn a_run_that_nobody_reads_does_not_spoil_the_next() {
    let gpu = open();
    let x = noise(8, 108);
    let recording = Pass::new(&gpu).finish(vec![Tensor::upload(&gpu, &[8], &x)]);
    drop(recording.submit(&gpu));
    let results = pollster::block_on(recording.submit(&gpu).read(&gpu)).expect("a run");
    assert_eq!(floats(&results[0]), x);
}

#[test]
#[should_panic(expected = "the host writes only to tensors of its own")]
fn the_host_does_not_write_to_tensors_of_the_pool() {
    let gpu = open();
    Pass::new(&gpu).tensor(&[4]).write(&gpu, &[0f32; 4]);
}
