//! Which experts a token goes to, and the lists made of it.

use tiefsee::gpu::{Gpu, Tensor};
use tiefsee::ops::{self, GroupScore, Groups, RoutingRule, Scoring};

use crate::EXPONENTIAL;
use crate::common::{assert_near, floats, integers, layouts, noise, run};
use crate::reference::{self, Routing};

/// DeepSeek-V2-Lite's.
const GREEDY: RoutingRule = RoutingRule {
    scoring: Scoring::Softmax,
    experts_per_token: 6,
    shared_experts: 2,
    groups: 1,
    groups_kept: 1,
    group_score: GroupScore::Best,
    normalise: false,
    scale: 1.0,
};
/// DeepSeek-V2's, in the sizes of the test.
const GROUP_LIMITED: RoutingRule = RoutingRule {
    experts_per_token: 4,
    groups: 3,
    groups_kept: 2,
    scale: 16.0,
    ..GREEDY
};
/// DeepSeek-V3's.
const NOAUX_TC: RoutingRule = RoutingRule {
    scoring: Scoring::Sigmoid,
    experts_per_token: 8,
    shared_experts: 1,
    groups: 8,
    groups_kept: 4,
    group_score: GroupScore::BestTwo,
    normalise: true,
    scale: 2.5,
};

/// Choices closer than this may fall differently in f32, unless they are equal.
const MARGIN: f64 = 1e-6;

/// Experts, and a rule for them.
fn rules() -> Vec<(usize, RoutingRule)> {
    let many = RoutingRule {
        experts_per_token: 6,
        groups: 8,
        groups_kept: 3,
        ..GROUP_LIMITED
    };
    let odd = RoutingRule {
        experts_per_token: 4,
        groups: 3,
        groups_kept: 1,
        ..NOAUX_TC
    };
    let most = RoutingRule {
        experts_per_token: 64,
        groups: 64,
        groups_kept: 64,
        ..NOAUX_TC
    };
    // Groups of one expert, which has no second.
    let alone = RoutingRule {
        experts_per_token: 3,
        groups_kept: 5,
        ..NOAUX_TC
    };
    vec![
        (
            1,
            RoutingRule {
                experts_per_token: 1,
                ..GREEDY
            },
        ),
        (64, GREEDY),
        (18, GROUP_LIMITED),
        (160, many),
        (18, odd),
        (256, NOAUX_TC),
        (512, most),
        (8, alone),
    ]
}

#[test]
fn route() {
    for gpu in layouts() {
        for tokens in [1, 2, 29] {
            for (experts, rule) in rules() {
                let scores = spread(&noise(tokens * experts, 50), 4.0);
                check_route(&gpu, &scores, &vec![0.0; experts], &rule);
                // Biases below zero, beyond every probability: choices change, weights do not.
                let bias = noise(experts, 51)
                    .iter()
                    .map(|bias| bias * 2.0 - 3.0)
                    .collect::<Vec<_>>();
                check_route(&gpu, &scores, &bias, &rule);
            }
        }
    }
}

fn spread(noise: &[f32], factor: f32) -> Vec<f32> {
    noise.iter().map(|value| value * factor).collect()
}

#[test]
fn route_with_ties() {
    for gpu in layouts() {
        for rule in [
            GROUP_LIMITED,
            RoutingRule {
                groups: 3,
                groups_kept: 2,
                ..NOAUX_TC
            },
        ] {
            let experts = 18;
            // All equal: the first experts of the first groups.
            check_route(&gpu, &vec![0.25; 2 * experts], &vec![0.0; experts], &rule);
            // Pairs of equals, also across groups.
            let scores: Vec<f32> = (0..experts)
                .map(|expert| [1.0, -1.0, 0.5][expert % 3])
                .collect();
            check_route(&gpu, &scores, &vec![0.0; experts], &rule);
            // Equal groups whose experts differ.
            let scores: Vec<f32> = (0..experts).map(|expert| (expert % 6) as f32).collect();
            check_route(&gpu, &scores, &vec![0.0; experts], &rule);
            // A huge outlier leaves nothing to all others in a softmax.
            for outlier in [0, 7, 17] {
                let mut scores = vec![0.0; experts];
                scores[outlier] = if rule.scoring == Scoring::Softmax {
                    1e4
                } else {
                    5.0
                };
                check_route(&gpu, &scores, &vec![0.0; experts], &rule);
            }
        }
        // Far from zero, where exp of a score itself is infinite or nothing.
        for offset in [-1e4, 1e4] {
            let scores: Vec<f32> = noise(64, 52)
                .iter()
                .map(|score| (score * 8.0).round() + offset)
                .collect();
            check_route(&gpu, &scores, &[0.0; 64], &GREEDY);
        }
    }
}

fn check_route(gpu: &Gpu, scores: &[f32], bias: &[f32], rule: &RoutingRule) {
    let experts = bias.len();
    let tokens = scores.len() / experts;
    let results = run(gpu, |pass| {
        let scores = Tensor::upload(gpu, &[tokens, experts], scores);
        let bias = Tensor::upload(gpu, &[experts], bias);
        let routes = ops::route(pass, &scores, &bias, rule);
        vec![routes.choices, routes.weights]
    });
    let (choices, weights) = (integers(&results[0]), floats(&results[1]));
    let what = format!("{tokens} tokens, {experts} experts, {rule:?}");
    let expected = reference::route(scores, experts, Some(bias), &as_reference(rule));
    let slots = rule.experts_per_token + rule.shared_experts;
    assert_eq!(choices.len(), tokens * slots, "{what}");
    for (token, expected) in expected.iter().enumerate() {
        let margin = expected.margin;
        assert!(
            margin == 0.0 || margin > MARGIN,
            "{what}: f32 may choose otherwise"
        );
        let (chosen, shared) = choices[token * slots..][..slots].split_at(rule.experts_per_token);
        let best: Vec<u32> = expected
            .experts
            .iter()
            .map(|&(expert, _)| expert as u32)
            .collect();
        assert_eq!(chosen, best, "{what}, token {token}");
        let behind = experts as u32..(experts + rule.shared_experts) as u32;
        assert_eq!(shared, behind.collect::<Vec<_>>(), "{what}, token {token}");
        let expected: Vec<f32> = expected.experts.iter().map(|&(_, weight)| weight).collect();
        let (weights, shared) = weights[token * slots..][..slots].split_at(expected.len());
        assert_near(weights, &expected, EXPONENTIAL, &what);
        assert_eq!(shared, vec![1.0; rule.shared_experts], "{what}");
    }
}

fn as_reference(rule: &RoutingRule) -> Routing {
    Routing {
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

#[test]
fn group_by_expert() {
    for gpu in layouts() {
        // One token, all tokens to one expert, the first and the last one, experts nobody chose.
        check_group_by_expert(&gpu, &[3], 1, 5);
        check_group_by_expert(&gpu, &[0], 1, 1);
        check_group_by_expert(&gpu, &[2; 29], 1, 18);
        check_group_by_expert(&gpu, &[17; 8], 2, 18);
        check_group_by_expert(&gpu, &[0, 575, 0, 575, 0, 575, 0, 575, 0, 575], 2, 576);
        for (tokens, slots, experts) in [
            (1, 8, 9),
            (5, 6, 18),
            (29, 9, 257),
            (127, 3, 4),
            (512, 9, 257),
        ] {
            let choices: Vec<u32> = (0..tokens as u64)
                .flat_map(|token| {
                    crate::common::shuffled(experts, token)
                        .into_iter()
                        .take(slots)
                })
                .collect();
            check_group_by_expert(&gpu, &choices, slots, experts);
        }
    }
}

fn check_group_by_expert(gpu: &Gpu, choices: &[u32], slots: usize, experts: usize) {
    let tokens = choices.len() / slots;
    let what = format!("{tokens} tokens in {slots} slots, {experts} experts");
    let unit = gpu.tiers.matrix.filter(|_| !gpu.tiers.software);
    let tile = Groups::tile(gpu.tiers, choices.len(), experts, unit);
    let results = run(gpu, |pass| {
        let choices = Tensor::upload(gpu, &[tokens, slots], choices);
        let groups = ops::group_by_expert(pass, &choices, experts);
        vec![groups.entries, groups.tiles]
    });
    let (entries, tiles) = (integers(&results[0]), integers(&results[1]));
    let mut expected: Vec<u32> = (0..choices.len() as u32).collect();
    expected.sort_by_key(|&entry| choices[entry as usize]);
    assert_eq!(entries, expected, "{what}");

    let mut next = 0;
    let mut tiles = tiles.chunks(4);
    for run in expected.chunk_by(|&a, &b| choices[a as usize] == choices[b as usize]) {
        for part in run.chunks(tile) {
            let tile = [choices[part[0] as usize], next, part.len() as u32, 0];
            assert_eq!(tiles.next(), Some(&tile[..]), "{what}");
            next += part.len() as u32;
        }
    }
    assert!(
        tiles.all(|tile| tile[2] == 0),
        "{what}: tiles left over have entries"
    );
}
