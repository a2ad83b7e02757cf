//! The layer that predicts: the scores that the golden files and the reference have, however the prompt is cut.

use std::path::Path;
use std::rc::Rc;

use tiefsee::checkpoint::Checkpoint;
use tiefsee::engine::{BLOCK, Choice, Inputs, Runner, Want};
use tiefsee::gpu::{Cache, Gpu, Pass, Tensor, cache};
use tiefsee::layers::{Batch, LayerCache};
use tiefsee::llm::open_source;
use tiefsee::models::{Loader, Model, WeightOptions, architecture};

use super::reference::golden::Golden;
use super::reference::model::{Attention, ReferenceModel};
use super::{assert_scores, common, span};

const GUESSES: Want = Want {
    choice: Choice::Best,
    guesses: true,
    ..Want::TOKENS
};

/// The model in `folder` with its layer of predictions.
fn load(gpu: &Gpu, folder: &Path) -> Box<dyn Model> {
    pollster::block_on(async {
        let source = open_source(folder.to_str().expect("a path"))?;
        let checkpoint = Checkpoint::open(source).await?;
        let weights = WeightOptions {
            quantize: None,
            prediction: true,
        };
        let loader = Loader::new(gpu, &checkpoint, weights, &|_| ());
        (architecture(&checkpoint)?.load)(&loader).await
    })
    .expect("a model")
}

fn caches(gpu: &Gpu, model: &dyn Model) -> Vec<LayerCache> {
    let width = model.shape().cache_width;
    let reserve = |_| LayerCache {
        rows: pollster::block_on(Cache::reserve(gpu, &cache::F32, 8 * BLOCK, width)).expect("room"),
        index: None,
    };
    (0..=model.shape().layers).map(reserve).collect()
}

/// What the layer says of all tokens but the last, run in chunks.
fn predictions(gpu: &Gpu, model: &dyn Model, tokens: &[u32], chunk: usize) -> Vec<f32> {
    let caches = caches(gpu, model);
    let rotary = &model.shape().rotary;
    let (tokens, next) = (&tokens[..tokens.len() - 1], &tokens[1..]);
    let mut scores = Vec::new();
    for (number, (part, next)) in tokens.chunks(chunk).zip(next.chunks(chunk)).enumerate() {
        let spans = [span(part, number * chunk)];
        let batch = Batch::new(
            gpu,
            Batch::shape_of(&spans, 8, BLOCK),
            rotary.frequencies.len(),
        );
        batch.write(gpu, &spans, rotary);
        let next = Tensor::upload(gpu, &[next.len()], next);
        let mut pass = Pass::new(gpu);
        let forward = model.forward(&mut pass, &batch, &caches);
        let cache = caches.last().expect("a cache");
        let guess = model.guess(&mut pass, &batch, cache, &forward.states, &next);
        let results = pollster::block_on(pass.finish(vec![guess]).submit(gpu).read(gpu));
        scores.extend(common::floats(&results.expect("a run")[0]));
    }
    scores
}

#[test]
fn predictions_equal_the_oracle_in_chunks_of_any_size() {
    for family in ["dsv3", "dsv3fp8", "dsv3ue8m0"] {
        let golden = Golden::open(family);
        let gpu = common::open();
        let model = load(&gpu, &golden.folder);
        let (tokens, expected) = (golden.tokens(), golden.floats("mtp_logits"));
        for chunk in [tokens.len(), 1, 2, 5] {
            let actual = predictions(&gpu, &*model, &tokens, chunk);
            assert_scores(&actual, &expected, &format!("{family} by {chunk}"));
        }
    }
}

/// A prompt in chunks and some tokens of its answer, each with the guess of the one after it, must be what the
/// reference makes of the same tokens.
#[test]
fn guesses_of_steps_equal_the_reference() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/demo-model");
    let dsv3 = Golden::open("dsv3");
    let question: Vec<u32> = (30..53).collect();
    for (folder, prompt) in [(&demo, question), (&dsv3.folder, dsv3.tokens())] {
        let reference = ReferenceModel::open(folder);
        let gpu = common::open();
        let model = load(&gpu, folder);
        let runner = Runner::new(Rc::clone(&gpu), model, 8 * BLOCK, 8, &cache::F32);
        let mut runner = pollster::block_on(runner).expect("room for the cache");
        let (mut tokens, mut start) = (prompt.clone(), 0);
        // Parts of the prompt, then two tokens at a time: the second is right in one of three.
        for end in [5, 6, prompt.len()] {
            let mut part = span(&tokens[start..end], start);
            part.outputs = 1;
            let next = [tokens.get(end).copied()];
            let inputs = Inputs {
                next: &next,
                ..Inputs::default()
            };
            let submitted = runner.submit(&[part], GUESSES, inputs);
            let output = pollster::block_on(runner.read(submitted)).expect("a step");
            start = end;
            if end == prompt.len() {
                tokens.push(output.chosen[0]);
                assert_guess(&reference, &tokens, output.guesses[0]);
            }
        }
        for round in 0..6 {
            let last = tokens[start];
            let guess = if round % 3 == 0 {
                greedy(&reference, &tokens)
            } else {
                3
            };
            let both = span(&[last, guess], start);
            let output = pollster::block_on(runner.run(&[both], GUESSES)).expect("a step");
            tokens.push(output.chosen[0]);
            assert_guess(&reference, &tokens, output.guesses[0]);
            start += 1;
            if output.chosen[0] == guess {
                tokens.push(output.chosen[1]);
                assert_guess(&reference, &tokens, output.guesses[1]);
                start += 1;
            }
        }
        assert!(tokens.len() > prompt.len() + 7, "no guess was right");
    }
}

/// The token that the model itself says next.
fn greedy(reference: &ReferenceModel, tokens: &[u32]) -> u32 {
    let output = reference.forward(tokens, Attention::Absorbed);
    tiefsee::reference::argmax(output.logits.last().expect("a row")) as u32
}

/// Fails unless `guess` is what the reference predicts behind `tokens`, or nearly as good.
#[track_caller]
fn assert_guess(reference: &ReferenceModel, tokens: &[u32], guess: u32) {
    let output = reference.forward(tokens, Attention::Absorbed);
    let scores = output.draft_logits.expect("a layer of predictions");
    let scores = scores.last().expect("a row");
    let best = scores.iter().copied().fold(f32::MIN, f32::max);
    let behind = best - scores[guess as usize];
    assert!(behind < 1e-3, "guessed {guess}, {behind} behind the best");
}
