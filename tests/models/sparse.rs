//! Sparse attention: the very keys that transformers attends to.

use tiefsee::checkpoint::{Checkpoint, Fields, Scope};
use tiefsee::engine::BLOCK;
use tiefsee::gpu::{Cache, Gpu, Pass, Tensor, cache};
use tiefsee::layers::{Batch, Indexer, Linear, RmsNorm, Rotary, Span};
use tiefsee::llm::open_source;
use tiefsee::models::{Loader, WeightOptions, architecture};

use crate::reference::golden::Golden;
use crate::{assert_scores, common, in_chunks, runner, runner_with};

/// The part of a layer that chooses, and what stands before it.
struct Chooser {
    input_norm: RmsNorm,
    q_a_proj: Linear,
    q_a_norm: RmsNorm,
    indexer: Indexer,
    rotary: Rotary,
}

async fn chooser(loader: &Loader<'_>, layer: usize) -> tiefsee::Result<Chooser> {
    let checkpoint = loader.checkpoint;
    let fields: Fields = checkpoint.fields()?;
    let size = |name| fields.usize(name).expect("a size");
    let (hidden, rank) = (size("hidden_size"), size("q_lora_rank"));
    let (heads, width) = (size("index_n_heads"), size("index_head_dim"));
    let scope: Scope<'_> = checkpoint
        .root()
        .enter("model")
        .enter("layers")
        .enter(layer);
    let attention = scope.enter("self_attn");
    let index = attention.enter("indexer");
    let k_norm = index.enter("k_norm");
    let parts = [("wk", width), ("weights_proj", heads)];
    Ok(Chooser {
        input_norm: loader.norm(&scope, "input_layernorm", hidden, 1e-6).await?,
        q_a_proj: loader
            .linear(&attention, "q_a_proj", [rank, hidden])
            .await?,
        q_a_norm: loader.norm(&attention, "q_a_layernorm", rank, 1e-6).await?,
        indexer: Indexer {
            q_proj: loader.linear(&index, "wq_b", [heads * width, rank]).await?,
            k_weights_proj: loader.joined(&index, &parts, hidden).await?,
            k_gain: loader.vector(&k_norm, "weight", width).await?,
            k_bias: loader.vector(&k_norm, "bias", width).await?,
            epsilon: 1e-6,
            heads,
            most: size("index_topk"),
        },
        rotary: (architecture(checkpoint)?.shape)(checkpoint)?.rotary,
    })
}

/// The positions that each token attends to, run in chunks.
fn attended(
    gpu: &Gpu,
    chooser: &Chooser,
    hidden: &[f32],
    tokens: usize,
    chunk: usize,
) -> Vec<Vec<u32>> {
    let [width] = chooser.indexer.k_gain.dims();
    let index = pollster::block_on(Cache::reserve(gpu, &cache::F32, 4 * BLOCK, width));
    let index = index.expect("room");
    let columns = hidden.len() / tokens;
    let mut attended = Vec::new();
    for (number, rows) in hidden.chunks(chunk * columns).enumerate() {
        let count = rows.len() / columns;
        let spans = [Span {
            tokens: vec![0; count],
            start: number * chunk,
            blocks: vec![3, 1],
            outputs: count,
        }];
        let pairs = chooser.rotary.frequencies.len();
        let batch = Batch::new(gpu, Batch::shape_of(&spans, 2, BLOCK), pairs);
        batch.write(gpu, &spans, &chooser.rotary);
        let mut pass = Pass::new(gpu);
        let x = Tensor::upload(gpu, &[count, columns], rows);
        let x = chooser.input_norm.forward(&mut pass, &x);
        let low_rank = chooser.q_a_proj.forward(&mut pass, &x);
        let low_rank = chooser.q_a_norm.forward(&mut pass, &low_rank);
        let chosen = chooser
            .indexer
            .forward(&mut pass, &x, &low_rank, &batch, &index);
        let chosen = chosen.expect("more keys than a token attends to");
        let recording = pass.finish(vec![chosen.slots, chosen.last]);
        let results = pollster::block_on(recording.submit(gpu).read(gpu)).expect("a run");
        let [slots, last] = [0, 1].map(|index| common::integers(&results[index]));
        for (slots, last) in slots.chunks(chooser.indexer.most).zip(last) {
            // The sequence fits into its first block.
            let position = |slot: &u32| slot - 3 * BLOCK as u32;
            attended.push(slots[..=last as usize].iter().map(position).collect());
        }
    }
    attended
}

#[test]
fn chosen_keys_equal_transformers() {
    let golden = Golden::open("dsv32");
    let tokens = golden.tokens().len();
    let gpu = common::open();
    let source = open_source(golden.folder.to_str().expect("a path")).expect("the model");
    let checkpoint = pollster::block_on(Checkpoint::open(source)).expect("a checkpoint");
    let loader = Loader::new(&gpu, &checkpoint, WeightOptions::default(), &|_| ());
    for layer in 0..2 {
        let chooser = pollster::block_on(chooser(&loader, layer)).expect("an indexer");
        let expected = golden.floats(&format!("index.{layer}"));
        let expected: Vec<Vec<u32>> = expected
            .chunks(chooser.indexer.most)
            .map(|row| {
                row.iter()
                    .filter(|&&at| at >= 0.0)
                    .map(|&at| at as u32)
                    .collect()
            })
            .collect();
        let hidden = golden.floats(&format!("hidden.{layer}"));
        for chunk in [tokens, 1, 7] {
            let actual = attended(&gpu, &chooser, &hidden, tokens, chunk);
            assert_eq!(actual, expected, "layer {layer} in chunks of {chunk}");
        }
    }
}

#[test]
fn few_scores_at_a_time_change_nothing() {
    let golden = Golden::open("dsv32");
    let tokens: Vec<u32> = golden.tokens().into_iter().cycle().take(100).collect();
    let expected = in_chunks(&mut runner(&golden.folder), &tokens, 100);
    // A row of 256 scores is a KiB: 48 tokens at a time.
    let mut limited = runner_with(&golden.folder, 8, None, Some(48 << 10));
    let actual = in_chunks(&mut limited, &tokens, 100);
    assert_scores(&actual, &expected, "48 tokens at a time");
    // Steps of one token choose the same keys.
    assert_scores(
        &in_chunks(&mut limited, &tokens, 1),
        &expected,
        "one token at a time",
    );
}

#[test]
fn a_context_without_too_many_keys_is_attended_to_whole() {
    let golden = Golden::open("dsv32");
    let folder = std::env::temp_dir().join(format!("tiefsee-dense-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    let config = std::fs::read_to_string(golden.folder.join("config.json")).expect("a config");
    let tokens = golden.tokens();
    let [dense, sparse] = [256, 24].map(|most| {
        let config = config.replace("\"index_topk\": 5", &format!("\"index_topk\": {most}"));
        std::fs::write(folder.join("config.json"), config).expect("a config");
        let weights = folder.join("model.safetensors");
        std::fs::copy(golden.folder.join("model.safetensors"), weights).expect("a copy");
        in_chunks(&mut runner(&folder), &tokens, 7)
    });
    std::fs::remove_dir_all(&folder).expect("to clean up");
    // One never asks the indexer, the other one finds no token with too many keys.
    assert_scores(&sparse, &dense, "24 keys");
    let difference = crate::largest_difference(&dense, &golden.floats("logits"));
    assert!(difference > 1e-2, "5 keys make no difference");
}
