//! Whole models against what transformers computed: the same scores, experts and tokens, however the
//! prompt is cut into steps.

mod caches;
#[path = "../common/mod.rs"]
mod common;
mod gguf;
mod launches;
mod prediction;
#[path = "../reference/mod.rs"]
mod reference;
mod sparse;
mod variants;

use std::path::Path;
use std::rc::Rc;

use reference::golden::{FAMILIES, Golden};
use reference::model::{Attention, ReferenceModel};
use tiefsee::checkpoint::Checkpoint;
use tiefsee::engine::{BLOCK, Runner, StepOutput, Want};
use tiefsee::formats::Format;
use tiefsee::gpu::{CacheType, cache};
use tiefsee::layers::Span;
use tiefsee::llm::open_source;
use tiefsee::models::{Loader, WeightOptions, architecture};

/// Golden checkpoints that the reference model in f64 does not read.
const OTHER_FAMILIES: [&str; 7] = [
    "dsv32",
    "dsv3fp8",
    "dsv3ue8m0",
    "qwen2",
    "qwen2tied",
    "qwen3",
    "llama",
];

/// Largest difference of a score in f32, as the golden files' makers suggest.
const TOLERANCE: f32 = 1e-3;
/// Margins below which another choice of experts, or of a token, is no fault.
const EXPERT_MARGIN: f64 = 1e-4;

/// The model in `folder`, with a cache of `blocks` blocks on a device of its own.
fn runner_with(
    folder: &Path,
    blocks: usize,
    quantize: Option<&'static Format>,
    binding_limit: Option<u64>,
) -> Runner {
    runner_over(folder, blocks, quantize, binding_limit, &cache::F32)
}

/// The same with a cache of a type.
fn runner_over(
    folder: &Path,
    blocks: usize,
    quantize: Option<&'static Format>,
    binding_limit: Option<u64>,
    kind: &'static CacheType,
) -> Runner {
    let mut gpu = common::open();
    if let Some(bytes) = binding_limit {
        Rc::get_mut(&mut gpu).expect("the only owner").binding_limit = bytes;
    }
    pollster::block_on(async {
        let source = open_source(folder.to_str().expect("a path")).expect("the model");
        let checkpoint = Checkpoint::open(source).await.expect("a checkpoint");
        let weights = WeightOptions {
            quantize,
            ..WeightOptions::default()
        };
        let loader = Loader::new(&gpu, &checkpoint, weights, &|_| ());
        let load = architecture(&checkpoint)
            .expect("a known architecture")
            .load;
        let model = load(&loader).await.expect("a model");
        Runner::new(Rc::clone(&gpu), model, blocks * BLOCK, blocks, kind)
            .await
            .expect("room for the cache")
    })
}

fn runner(folder: &Path) -> Runner {
    runner_with(folder, 8, None, None)
}

const ROUTED: Want = Want {
    routes: true,
    ..Want::SCORES
};

fn run(runner: &mut Runner, spans: &[Span], want: Want) -> StepOutput {
    pollster::block_on(runner.run(spans, want)).expect("a step")
}

/// Blocks in an order that a wrong table would not survive.
fn span(tokens: &[u32], start: usize) -> Span {
    Span {
        tokens: tokens.to_vec(),
        start,
        blocks: vec![5, 2, 7, 0],
        outputs: tokens.len(),
    }
}

/// Scores of all tokens, run in chunks.
fn in_chunks(runner: &mut Runner, tokens: &[u32], chunk: usize) -> Vec<f32> {
    let chunks = tokens.chunks(chunk).enumerate();
    chunks
        .flat_map(|(n, part)| run(runner, &[span(part, n * chunk)], Want::SCORES).scores)
        .collect()
}

fn largest_difference(actual: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(actual.len(), expected.len());
    // Written so that NaN is the largest.
    actual
        .iter()
        .zip(expected)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, |most, d| if d <= most { most } else { d })
}

#[track_caller]
fn assert_scores(actual: &[f32], expected: &[f32], what: &str) {
    let difference = largest_difference(actual, expected);
    assert!(
        difference <= TOLERANCE,
        "{what}: a score is off by {difference}"
    );
}

#[test]
fn scores_equal_transformers_in_chunks_of_any_size() {
    for family in FAMILIES.into_iter().chain(OTHER_FAMILIES) {
        let golden = Golden::open(family);
        let (tokens, expected) = (golden.tokens(), golden.floats("logits"));
        let mut runner = runner(&golden.folder);
        for chunk in [tokens.len(), 1, 3, 7] {
            let actual = in_chunks(&mut runner, &tokens, chunk);
            assert_scores(
                &actual,
                &expected,
                &format!("{family} in chunks of {chunk}"),
            );
        }
    }
}

#[test]
fn experts_equal_transformers() {
    for family in FAMILIES {
        let golden = Golden::open(family);
        let tokens = golden.tokens();
        let margins = ReferenceModel::open(&golden.folder)
            .forward(&tokens, Attention::Absorbed)
            .routes;
        let mut runner = runner(&golden.folder);
        // Both the few-token and the grouped path choose.
        for chunk in [tokens.len(), 1] {
            let mut compared = 0;
            for (n, part) in tokens.chunks(chunk).enumerate() {
                let output = run(&mut runner, &[span(part, n * chunk)], ROUTED);
                assert_eq!(
                    output.routes.len(),
                    margins.len(),
                    "{family}: layers with experts"
                );
                for (layer, choices) in output.routes.iter().enumerate() {
                    let expected = golden.routes(layer);
                    let slots = choices.len() / part.len();
                    for (row, chosen) in choices.chunks(slots).enumerate() {
                        let token = n * chunk + row;
                        if margins[layer][token].margin <= EXPERT_MARGIN {
                            continue;
                        }
                        let routed = &chosen[..expected[token].len()];
                        let mut routed: Vec<_> =
                            routed.iter().map(|&expert| expert as usize).collect();
                        routed.sort_unstable();
                        assert_eq!(
                            routed, expected[token],
                            "{family}, layer {layer}, token {token}"
                        );
                        compared += 1;
                    }
                }
            }
            assert!(
                compared > tokens.len() / 2,
                "{family}: only {compared} choices had a margin"
            );
        }
    }
}

#[test]
fn greedy_tokens_equal_transformers() {
    for family in FAMILIES.into_iter().chain(OTHER_FAMILIES) {
        let golden = Golden::open(family);
        let (prompt, expected) = (golden.tokens(), golden.greedy());
        let mut runner = runner(&golden.folder);
        let mut tokens = prompt.clone();
        let mut start = 0;
        while tokens.len() < expected.len() {
            let mut span = span(&tokens[start..], start);
            span.outputs = 1;
            let output = run(&mut runner, &[span], Want::TOKENS);
            start = tokens.len();
            tokens.push(output.chosen[0]);
        }
        assert_eq!(tokens, expected, "{family}");
    }
}

#[test]
fn absorbed_attention_equals_naive() {
    for family in FAMILIES {
        let golden = Golden::open(family);
        let tokens = golden.tokens();
        let naive = ReferenceModel::open(&golden.folder)
            .forward(&tokens, Attention::Naive)
            .logits;
        let naive: Vec<f32> = naive.into_iter().flatten().collect();
        let actual = in_chunks(&mut runner(&golden.folder), &tokens, tokens.len());
        assert_scores(&actual, &naive, family);
    }
}

#[test]
fn sequences_do_not_notice_each_other() {
    for family in FAMILIES.into_iter().chain(OTHER_FAMILIES) {
        let golden = Golden::open(family);
        let (tokens, expected) = (golden.tokens(), golden.floats("logits"));
        let width = expected.len() / tokens.len();
        let mut runner = runner(&golden.folder);
        // Three lengths at three depths in one step: a prompt, the rest of one, and a single token.
        let spans = |part: [&[u32]; 3], starts: [usize; 3]| -> Vec<Span> {
            let blocks = [vec![4, 1], vec![0, 6], vec![3, 2]];
            let span = |(n, blocks): (usize, Vec<u32>)| Span {
                tokens: part[n].to_vec(),
                start: starts[n],
                blocks,
                outputs: part[n].len(),
            };
            blocks.into_iter().enumerate().map(span).collect()
        };
        let last = tokens.len() - 1;
        run(
            &mut runner,
            &spans([&tokens[..1], &tokens[..4], &tokens[..last]], [0, 0, 0]),
            Want::SCORES,
        );
        let both = run(
            &mut runner,
            &spans([&tokens[..7], &tokens[4..], &tokens[last..]], [0, 4, last]),
            Want::SCORES,
        );
        let expected = [
            &expected[..7 * width],
            &expected[4 * width..],
            &expected[last * width..],
        ]
        .concat();
        assert_scores(&both.scores, &expected, family);
    }
}

#[test]
fn a_recording_replayed_elsewhere_equals_a_fresh_one() {
    let golden = Golden::open("dsv3");
    let tokens = golden.tokens();
    let mut replayed = runner(&golden.folder);
    let whole = in_chunks(&mut replayed, &tokens, 1);
    for position in 0..tokens.len() {
        // A new runner has recorded nothing; its first single token is this one.
        let mut fresh = runner(&golden.folder);
        if position > 0 {
            run(&mut fresh, &[span(&tokens[..position], 0)], Want::SCORES);
        }
        let spans = [span(&tokens[position..=position], position)];
        let scores = run(&mut fresh, &spans, Want::SCORES).scores;
        let width = scores.len();
        let replayed = &whole[position * width..][..width];
        assert!(
            largest_difference(&scores, replayed) <= 2e-5,
            "position {position}"
        );
    }
}

#[test]
fn positions_far_out_keep_their_distances() {
    // Attention looks at every position from 0 on, so a sequence that stands far out has a long
    // past; the same past, at the start and moved by a multiple of the block, must not matter.
    let golden = Golden::open("dsv3");
    let tokens = golden.tokens();
    let mut runner = runner_with(&golden.folder, 130, None, None);
    let blocks: Vec<u32> = (0..130).rev().collect();
    let long: Vec<u32> = tokens.iter().copied().cycle().take(4100).collect();
    let reference = ReferenceModel::open(&golden.folder);
    for (start, part) in long
        .chunks(512)
        .enumerate()
        .map(|(n, part)| (512 * n, part))
    {
        let span = Span {
            tokens: part.to_vec(),
            start,
            blocks: blocks.clone(),
            outputs: 1,
        };
        run(&mut runner, &[span], Want::TOKENS);
    }
    let last = Span {
        tokens: vec![long[4099]],
        start: 4099,
        blocks,
        outputs: 1,
    };
    let actual = run(&mut runner, &[last], Want::SCORES).scores;
    let expected = reference
        .forward(&long, Attention::Absorbed)
        .logits
        .pop()
        .expect("a last token");

    assert_scores(&actual, &expected, "position 4099");
}

#[test]
fn both_spellings_of_rope_load_alike() {
    for family in ["dsv3", "dsv32"] {
        let golden = Golden::open(family);
        let folder = std::env::temp_dir().join(format!("tiefsee-legacy-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        for (from, to) in [
            ("config-legacy.json", "config.json"),
            ("model.safetensors", "model.safetensors"),
        ] {
            std::fs::copy(golden.folder.join(from), folder.join(to)).expect("a copy");
        }
        let tokens = golden.tokens();
        let actual = in_chunks(&mut runner(&folder), &tokens, tokens.len());
        std::fs::remove_dir_all(&folder).expect("to clean up");
        assert_scores(&actual, &golden.floats("logits"), "rope_scaling");
    }
}
