//! The same models with their weights split and quantised.

use tiefsee::engine::Want;
use tiefsee::formats;
use tiefsee::layers::Span;

use super::reference::golden::Golden;
use super::{assert_scores, in_chunks, largest_difference, run, runner_with};

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
                .flat_map(|span| run(&mut runner, &[span], Want::SCORES).scores)
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
