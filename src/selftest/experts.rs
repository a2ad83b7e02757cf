//! Choosing experts, listing their tokens, and products with their weights.

use super::matrix;
use super::trial::{EXPONENTIAL, Expected, Sizes, Trial, noise, scaled};
use super::weights::{Stored, Weights, normed_rows};
use crate::gpu::{Gpu, MatrixUnit, Pass, Tensor};
use crate::ops::{self, GroupScore, Groups, Routes, RoutingRule, Scoring};
use crate::reference;

/// Router scores, a bias, and the rule to choose by.
struct Choice {
    scores: Vec<f32>, // [tokens, experts]
    bias: Vec<f32>,   // [experts]
    rule: RoutingRule,
}

/// As in DeepSeek-V2-Lite.
fn softmax(sizes: &Sizes) -> Choice {
    let mut scores = scaled(noise(sizes.many * sizes.experts, 30), 4.0);
    // Among equals the lower index is first.
    scores[..sizes.experts].fill(0.5);
    let rule = RoutingRule {
        scoring: Scoring::Softmax,
        experts_per_token: sizes.experts_per_token,
        shared_experts: 2,
        groups: 1,
        groups_kept: 1,
        group_score: GroupScore::Best,
        normalise: false,
        scale: 16.0,
    };
    Choice {
        scores,
        bias: vec![0.0; sizes.experts],
        rule,
    }
}

/// As in DeepSeek-V3.
fn sigmoid(sizes: &Sizes) -> Choice {
    let mut scores = scaled(noise(sizes.many * sizes.experts, 31), 4.0);
    // The first group has the best expert but no second one, and is left out.
    let size = sizes.experts / sizes.groups;
    for (expert, score) in scores[..sizes.experts].iter_mut().enumerate() {
        *score = match (expert / size, expert % size) {
            (0, 0) => 4.0,
            (1.., 0 | 1) => 1.0 + 0.1 * expert as f32,
            _ => -8.0,
        };
    }
    let rule = RoutingRule {
        scoring: Scoring::Sigmoid,
        experts_per_token: sizes.experts_per_token,
        shared_experts: 1,
        groups: sizes.groups,
        groups_kept: sizes.groups_kept,
        group_score: GroupScore::BestTwo,
        normalise: true,
        scale: 2.5,
    };
    Choice {
        scores,
        bias: scaled(noise(sizes.experts, 32), 0.1),
        rule,
    }
}

/// Without groups.
pub(super) fn route_softmax(pass: &mut Pass, sizes: &Sizes) -> Trial {
    route(pass, &softmax(sizes))
}

/// With groups and a bias.
pub(super) fn route_sigmoid(pass: &mut Pass, sizes: &Sizes) -> Trial {
    route(pass, &sigmoid(sizes))
}

fn route(pass: &mut Pass, choice: &Choice) -> Trial {
    let Choice { scores, bias, rule } = choice;
    let experts = bias.len();
    let tokens = scores.len() / experts;
    let scores_tensor = Tensor::upload(pass.gpu, &[tokens, experts], scores);
    let bias_tensor = Tensor::upload(pass.gpu, &[experts], bias);
    let Routes { choices, weights } = ops::route(pass, &scores_tensor, &bias_tensor, rule);

    let (mut expected_choices, mut expected_weights) = (Vec::new(), Vec::new());
    for route in reference::route(scores, experts, Some(bias), &reference_rule(rule)) {
        for (expert, weight) in route.experts {
            expected_choices.push(expert as u32);
            expected_weights.push(weight);
        }
        for shared in 0..rule.shared_experts {
            expected_choices.push((experts + shared) as u32);
            expected_weights.push(1.0);
        }
    }
    let mut trial = Trial::of(
        &[&scores_tensor, &bias_tensor, &choices],
        weights,
        expected_weights,
    );
    trial
        .results
        .push((choices, Expected::Integers(expected_choices)));
    trial.tolerance = EXPONENTIAL;
    trial
}

fn reference_rule(rule: &RoutingRule) -> reference::Routing {
    reference::Routing {
        scoring: match rule.scoring {
            Scoring::Softmax => reference::Scoring::Softmax,
            Scoring::Sigmoid => reference::Scoring::Sigmoid,
        },
        groups: rule.groups,
        groups_kept: rule.groups_kept,
        experts_per_token: rule.experts_per_token,
        normalise: rule.normalise,
        scale: f64::from(rule.scale),
        group_score: match rule.group_score {
            GroupScore::Best => reference::GroupScore::Max,
            GroupScore::BestTwo => reference::GroupScore::TopTwoSum,
        },
    }
}

/// Distinct experts for each token; some experts get many tokens, some none.
fn choices(tokens: usize, sizes: &Sizes) -> Vec<u32> {
    let token = |token: usize| {
        (0..sizes.experts_per_token)
            .map(move |slot| ((token * token + 3 * slot) % sizes.experts) as u32)
    };
    (0..tokens).flat_map(token).collect()
}

/// The entries in order of their expert, and tiles of them.
fn grouped(choices: &[u32], experts: usize, most: usize, max_tiles: usize) -> (Vec<u32>, Vec<u32>) {
    let (mut entries, mut tiles) = (Vec::new(), Vec::new());
    for expert in 0..experts as u32 {
        let own: Vec<u32> = (0..choices.len() as u32)
            .filter(|&entry| choices[entry as usize] == expert)
            .collect();
        for tile in own.chunks(most) {
            tiles.extend([expert, entries.len() as u32, tile.len() as u32, 0]);
            entries.extend(tile);
        }
    }
    tiles.resize(4 * max_tiles, 0);
    (entries, tiles)
}

pub(super) fn group_by_expert(pass: &mut Pass, sizes: &Sizes) -> Trial {
    let chosen = choices(sizes.many, sizes);
    let choices = Tensor::upload(pass.gpu, &[sizes.many, sizes.experts_per_token], &chosen);
    let Groups {
        entries,
        tiles,
        unit,
        ..
    } = ops::group_by_expert(pass, &choices, sizes.experts);
    let [max_tiles, _] = tiles.dims();
    let tile = Groups::tile(pass.gpu.tiers, chosen.len(), sizes.experts, unit);
    let (expected_entries, expected_tiles) = grouped(&chosen, sizes.experts, tile, max_tiles);
    Trial {
        bytes: choices.bytes() + entries.bytes() + tiles.bytes(),
        results: vec![
            (entries, Expected::Integers(expected_entries)),
            (tiles, Expected::Integers(expected_tiles)),
        ],
        format: None,
        tolerance: 0.0,
        operations: 0,
    }
}

fn routes(gpu: &Gpu, chosen: &[u32], shares: &[f32], slots: usize) -> Routes {
    let dims = [chosen.len() / slots, slots];
    Routes {
        choices: Tensor::upload(gpu, &dims, chosen),
        weights: Tensor::upload(gpu, &dims, shares),
    }
}

/// Bytes of the matrices of all different experts in `chosen`.
fn expert_bytes(weight: &Stored, chosen: &[u32]) -> u64 {
    let mut different = chosen.to_vec();
    different.sort_unstable();
    different.dedup();
    weight.weight.bytes() / weight.weight.count as u64 * different.len() as u64
}

/// Each entry's row of `x`, shared by a token's slots or its own, times its expert's weight.
fn products(x: &[f32], weight: &Stored, chosen: &[u32]) -> Vec<f32> {
    let inner = weight.weight.columns;
    let repeat = chosen.len() * inner / x.len();
    let product = |(entry, &expert): (usize, &u32)| {
        reference::matmul(
            &x[entry / repeat * inner..][..inner],
            weight.matrix(expert as usize),
            inner,
        )
    };
    chosen.iter().enumerate().flat_map(product).collect()
}

/// Gates, `width` of them, with the values behind them.
fn gated(both: &[f32], width: usize) -> Vec<f32> {
    let row = |both: &[f32]| reference::swiglu(&both[..width], &both[width..]);
    both.chunks(2 * width).flat_map(row).collect()
}

fn operations(weight: &Stored, chosen: &[u32]) -> u64 {
    (2 * weight.weight.rows * weight.weight.columns * chosen.len()) as u64
}

pub(super) fn expert_gate_up(pass: &mut Pass, sizes: &Sizes, weights: &Weights) -> Trial {
    let (tokens, slots, width, weight) = (
        sizes.few,
        sizes.experts_per_token,
        sizes.intermediate,
        &weights.gate_up,
    );
    let chosen = choices(tokens, sizes);
    let routes = routes(pass.gpu, &chosen, &vec![1.0; chosen.len()], slots);
    let (input, normed) = normed_rows(pass, tokens, sizes.hidden);
    let y = ops::expert_gate_up(pass, &input, &weight.weight, &routes);
    let expected = gated(&products(&normed, weight, &chosen), width);
    let trial = Trial::of(&[&input.x, &routes.choices], y, expected);
    Trial {
        format: Some(weight.weight.shards[0].format.name),
        tolerance: EXPONENTIAL,
        bytes: trial.bytes + expert_bytes(weight, &chosen),
        operations: operations(weight, &chosen),
        ..trial
    }
}

pub(super) fn expert_down(pass: &mut Pass, sizes: &Sizes, weights: &Weights) -> Trial {
    let (tokens, slots, width, weight) = (
        sizes.few,
        sizes.experts_per_token,
        sizes.intermediate,
        &weights.down,
    );
    let chosen = choices(tokens, sizes);
    let shares = noise(chosen.len(), 34);
    let routes = routes(pass.gpu, &chosen, &shares, slots);
    let values = noise(tokens * slots * width, 35);
    let x = Tensor::upload(pass.gpu, &[tokens, slots, width], &values);
    let before = noise(tokens * sizes.hidden, 33);
    let sum = Tensor::upload(pass.gpu, &[tokens, sizes.hidden], &before);
    ops::add_expert_down(pass, &x, &weight.weight, &routes, &sum);
    let outputs = products(&values, weight, &chosen);
    let combined = reference::combine(&outputs, &shares, slots, sizes.hidden);
    let expected = reference::add(&before, &combined);
    let trial = Trial::of(&[&x, &routes.choices, &routes.weights], sum, expected);
    Trial {
        format: Some(weight.weight.shards[0].format.name),
        bytes: trial.bytes + expert_bytes(weight, &chosen),
        operations: operations(weight, &chosen),
        ..trial
    }
}

/// What [`ops::group_by_expert`] should make of the choices, in tiles for `unit`s if there is one.
fn groups(gpu: &Gpu, chosen: &[u32], sizes: &Sizes, unit: Option<MatrixUnit>) -> Groups {
    let experts = sizes.experts;
    let tile = Groups::tile(gpu.tiers, chosen.len(), experts, unit);
    let max_tiles = experts + chosen.len() / tile;
    let (entries, tiles) = grouped(chosen, experts, tile, max_tiles);
    let slots = sizes.experts_per_token;
    let entries = Tensor::upload(gpu, &[chosen.len() / slots, slots], &entries);
    let tiles = Tensor::upload(gpu, &[max_tiles, 4], &tiles);
    Groups::new(gpu.tiers, experts, [entries, tiles], unit)
}

pub(super) fn expert_gate_up_grouped(pass: &mut Pass, sizes: &Sizes, weights: &Weights) -> Trial {
    let weight = &weights.gate_up;
    let chosen = choices(sizes.many, sizes);
    let groups = groups(pass.gpu, &chosen, sizes, None);
    let values = noise(sizes.many * sizes.hidden, 38);
    let x = Tensor::upload(pass.gpu, &[sizes.many, sizes.hidden], &values);
    let y = ops::expert_gate_up_grouped(pass, &x, &weight.weight, &groups);
    let expected = gated(&products(&values, weight, &chosen), sizes.intermediate);
    let trial = Trial::of(&[&x, &groups.entries, &groups.tiles], y, expected);
    Trial {
        format: Some(weight.weight.shards[0].format.name),
        tolerance: EXPONENTIAL,
        bytes: trial.bytes + expert_bytes(weight, &chosen),
        operations: operations(weight, &chosen),
        ..trial
    }
}

/// Both uses: slots that share their token's row, and slots with rows of their own.
pub(super) fn expert_matmul(pass: &mut Pass, sizes: &Sizes, weights: &Weights) -> Trial {
    grouped_products(pass, sizes, weights, None)
}

pub(super) fn expert_matrix(pass: &mut Pass, sizes: &Sizes, weights: &Weights) -> Trial {
    let unit = matrix::unit(pass);
    grouped_products(pass, sizes, weights, Some(unit))
}

fn grouped_products(
    pass: &mut Pass,
    sizes: &Sizes,
    weights: &Weights,
    unit: Option<MatrixUnit>,
) -> Trial {
    let (tokens, slots) = (sizes.many, sizes.experts_per_token);
    let chosen = choices(tokens, sizes);
    let groups = groups(pass.gpu, &chosen, sizes, unit);
    let values = noise(tokens * sizes.hidden, 36);
    let hidden_values = noise(chosen.len() * sizes.intermediate, 37);
    let x = Tensor::upload(pass.gpu, &[tokens, sizes.hidden], &values);
    let hidden = Tensor::upload(
        pass.gpu,
        &[tokens, slots, sizes.intermediate],
        &hidden_values,
    );
    let both = ops::expert_matmul(pass, &x, &[&weights.gate_up.weight], &groups);
    let down = ops::expert_matmul(pass, &hidden, &[&weights.down.weight], &groups);

    let inputs = [&x, &hidden, &groups.entries, &groups.tiles, &down];
    let expected_down = products(&hidden_values, &weights.down, &chosen);
    let mut trial = Trial::of(&inputs, both, products(&values, &weights.gate_up, &chosen));
    trial.results.push((down, Expected::Floats(expected_down)));
    trial.format = Some(weights.down.weight.shards[0].format.name);
    for weight in [&weights.gate_up, &weights.down] {
        trial.bytes += expert_bytes(weight, &chosen);
        trial.operations += operations(weight, &chosen);
    }
    trial
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries of the largest tile that a device is given.
    const MOST: usize = 32;

    #[test]
    fn experts_with_many_tokens_and_with_none_are_among_the_groups() {
        let chosen = choices(Sizes::EDGES.many, &Sizes::EDGES);
        let (entries, tiles) = grouped(&chosen, Sizes::EDGES.experts, MOST, 40);
        let count = |expert| chosen.iter().filter(|&&chosen| chosen == expert).count();
        let counts: Vec<usize> = (0..Sizes::EDGES.experts as u32).map(count).collect();
        assert!(
            counts.contains(&0)
                && counts
                    .iter()
                    .any(|&count| count > MOST && count % MOST != 0)
        );
        assert_eq!(entries.len(), chosen.len());
        assert_eq!(
            tiles.chunks(4).map(|tile| tile[2] as usize).sum::<usize>(),
            chosen.len()
        );
    }

    #[test]
    fn choices_are_clear_or_exactly_equal() {
        for sizes in [Sizes::EDGES, Sizes::MODEL] {
            for Choice { scores, bias, rule } in [softmax(&sizes), sigmoid(&sizes)] {
                let routes =
                    reference::route(&scores, sizes.experts, Some(&bias), &reference_rule(&rule));
                let close = routes
                    .iter()
                    .find(|route| route.margin > 0.0 && route.margin < 1e-5);
                assert!(close.is_none(), "{close:?}");
            }
        }
    }
}
