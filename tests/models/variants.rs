//! The same models with their weights split, quantised, and as the launches they are recorded into.

use std::path::Path;

use tiefsee::engine::Want;
use tiefsee::formats;
use tiefsee::layers::Span;

use super::reference::golden::Golden;
use super::{
    assert_scores, common, in_chunks, largest_difference, run, runner, runner_with, scores,
};

#[test]
fn weights_split_over_many_bindings_give_the_same_scores() {
    for family in ["dsv3", "odd"] {
        let golden = Golden::open(family);
        let tokens = golden.tokens();
        // Less than the experts, the vocabulary or the cache would need in one piece.
        let mut runner = runner_with(&golden.folder, 2, None, Some(20_000));
        for chunk in [tokens.len(), 1] {
            let spans = tokens.chunks(chunk).enumerate().map(|(n, part)| Span {
                tokens: part.to_vec(),
                start: n * chunk,
                blocks: vec![1, 0],
                outputs: part.len(),
            });
            let spans: Vec<_> = spans.collect();
            let actual: Vec<f32> = spans
                .into_iter()
                .flat_map(|span| scores(run(&mut runner, &[span], Want::SCORES)))
                .collect();
            assert_scores(
                &actual,
                &golden.floats("logits"),
                &format!("{family} in chunks of {chunk}"),
            );
        }
    }
}

#[test]
fn quantised_models_stay_close_to_the_original() {
    let golden = Golden::open("wide");
    let (tokens, expected) = (golden.tokens(), golden.floats("logits"));
    let spread = expected
        .iter()
        .fold(0f32, |most, score| most.max(score.abs()));
    // Rounding moves scores; what is tested is that it does by no more than the format explains.
    for (format, share) in [
        (&formats::F16, 0.001),
        (&formats::Q8_0, 0.03),
        (&formats::Q4_0, 0.5),
    ] {
        let mut runner = runner_with(&golden.folder, 8, Some(format), None);
        let whole = in_chunks(&mut runner, &tokens, tokens.len());
        let difference = largest_difference(&whole, &expected);
        assert!(
            difference <= share * spread,
            "{}: off by {difference} of {spread}",
            format.name
        );
        let stepwise = in_chunks(&mut runner, &tokens, 1);
        assert_scores(&stepwise, &whole, format.name);
    }
}

#[test]
fn a_decode_step_is_one_submit_and_few_launches() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/demo-model");
    let mut runner = runner(&folder);
    let step = |position: usize| {
        [Span {
            tokens: vec![30],
            start: position,
            blocks: (0..8).collect(),
            outputs: 1,
        }]
    };
    for position in 0..12 {
        run(&mut runner, &step(position), Want::TOKENS);
    }
    let layers = runner.shape().layers;
    let recording = runner.prepare(&step(12), Want::TOKENS);
    let launches = recording.kernels().count();
    // Embedding, first norm, head and argmax belong to no layer.
    let per_layer = (launches - 4).div_ceil(layers);
    assert!(
        per_layer <= 16,
        "{per_layer} launches a layer: {:?}",
        recording.kernels().collect::<Vec<_>>()
    );
    // SwiftShader alone may need longer than a submit should take.
    if common::options()
        .device
        .is_none_or(|device| !device.to_lowercase().contains("swiftshader"))
    {
        assert_eq!(recording.submits(), 1);
    }
}

#[test]
fn a_prompt_takes_the_grouped_path_in_every_layer() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/demo-model");
    let mut runner = runner(&folder);
    let prompt = [Span {
        tokens: vec![30; 40],
        start: 0,
        blocks: (0..8).collect(),
        outputs: 1,
    }];
    let recording = runner.prepare(&prompt, Want::TOKENS);
    let count = |name: &str| recording.kernels().filter(|&kernel| kernel == name).count();
    assert_eq!(count("group_by_expert"), 3, "layers with experts");
    assert_eq!(count("expert_matmul"), 6);
    assert_eq!(
        count("expert_gate_up") + count("matmul"),
        1,
        "only the head runs for few rows"
    );
}
