//! The reference ops against examples worked out by hand.

mod reference;

use reference::golden::Golden;
use reference::model::ReferenceModel;
use reference::{GroupScore, LatentShape, Mlp, Route, Routing, Scoring, Yarn, assert_close};

/// The rotary setting of V2, V2-Lite and V3.
const DEEPSEEK_YARN: Yarn = Yarn {
    factor: 40.0,
    beta_fast: 32.0,
    beta_slow: 1.0,
    original_max_position_embeddings: 4096.0,
};

#[test]
fn a_wrong_rope_pairing_would_be_noticed() {
    let x: Vec<f32> = (0..24).map(|i| i as f32 - 11.0).collect();
    let frequencies = reference::rope_frequencies(4, 10_000.0, None);
    let interleaved = reference::rope_interleaved(&x, &[0, 3, 7], &frequencies);
    let halves = reference::rope_halves(&x, &[0, 3, 7], &frequencies);
    assert_eq!(interleaved[..8], x[..8], "position 0 turns nothing");
    let largest = interleaved
        .iter()
        .zip(&halves)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    assert!(largest > 1.0);

    // The same rotation after bringing the pairs together.
    let shuffled: Vec<f32> = x
        .chunks(4)
        .flat_map(|row| [row[0], row[2], row[1], row[3]])
        .collect();
    let shuffled = reference::rope_interleaved(&shuffled, &[0, 3, 7], &frequencies);
    let back: Vec<f32> = shuffled
        .chunks(4)
        .flat_map(|row| [row[0], row[2], row[1], row[3]])
        .collect();
    assert_close(&back, &halves, 0.0, "pairings");
}

#[test]
fn yarn_frequencies() {
    assert_eq!(DEEPSEEK_YARN.range(64, 10_000.0), (10.0, 23.0));
    let frequencies = reference::rope_frequencies(64, 10_000.0, Some(DEEPSEEK_YARN));
    let expected = [
        (0, 1.0),
        (1, 7.498_942_093e-1),
        (10, 5.623_413_252e-2),
        (11, 3.900_692_657e-2),
        (12, 2.687_936_011e-2),
        (13, 1.837_814_622e-2),
        (14, 1.244_795_587e-2),
        (15, 8.334_508_951e-3),
        (16, 5.5e-3),
        (17, 3.561_997_494e-3),
        (18, 2.249_365_301e-3),
        (19, 1.370_513_636e-3),
        (20, 7.905_694_150e-4),
        (21, 4.149_903_985e-4),
        (22, 1.778_279_410e-4),
        (23, 3.333_803_580e-5),
        (24, 2.5e-5),
        (31, 3.333_803_580e-6),
    ];
    check_frequencies(&frequencies, &expected);
    // A position of 4096 turns pair 0 to here.
    let turned = reference::rope_interleaved(&[1.0_f64, 0.0], &[4096], &frequencies[..1]);
    assert!((turned[0] - 0.803_990_60).abs() < 1e-7 && (turned[1] + 0.594_641_98).abs() < 1e-7);
}

#[test]
fn the_changed_pairs_end_with_the_head_not_with_half_of_it() {
    assert_eq!(DEEPSEEK_YARN.range(8, 100.0), (2.0, 6.0));
    assert_eq!(DEEPSEEK_YARN.range(8, 10.0), (5.0, 7.0));
    // Both ends fall together here, which must not divide by zero.
    assert_eq!(DEEPSEEK_YARN.range(2, 10.0), (1.0, 1.0));
    assert_eq!(
        reference::rope_frequencies(2, 10.0, Some(DEEPSEEK_YARN)),
        [1.0]
    );
}

#[test]
fn yarn_frequencies_of_other_models() {
    let long = Yarn {
        factor: 16.0,
        original_max_position_embeddings: 65_536.0,
        ..DEEPSEEK_YARN
    };
    assert_eq!(long.range(64, 160_000.0), (15.0, 25.0));
    let frequencies = reference::rope_frequencies(64, 160_000.0, Some(long));
    check_frequencies(
        &frequencies,
        &[
            (16, 2.265_625e-3),
            (20, 2.969_777_783e-4),
            (24, 1.953_125e-5),
            (25, 5.372_312_671e-6),
            (31, 5.680_529_037e-7),
        ],
    );

    let qwen = Yarn {
        factor: 4.0,
        original_max_position_embeddings: 32_768.0,
        ..DEEPSEEK_YARN
    };
    assert_eq!(qwen.range(128, 1e6), (23.0, 40.0));
    let frequencies = reference::rope_frequencies(128, 1e6, Some(qwen));
    check_frequencies(
        &frequencies,
        &[
            (24, 5.375_321_491e-3),
            (32, 6.029_411_765e-4),
            (40, 4.445_698_525e-5),
        ],
    );
}

fn check_frequencies(actual: &[f64], expected: &[(usize, f64)]) {
    for &(pair, expected) in expected {
        let error = (actual[pair] / expected - 1.0).abs();
        assert!(
            error < 1e-9,
            "pair {pair}: {} instead of {expected}",
            actual[pair]
        );
    }
}

#[test]
fn attention_scales() {
    assert!((reference::yarn_magnitude(40.0, 1.0) - 1.368_887_945_4).abs() < 1e-10);
    assert!((reference::yarn_magnitude(40.0, 0.707) - 1.260_803_777_4).abs() < 1e-10);
    assert!((reference::yarn_magnitude(1.0, 1.0) - 1.0).abs() < f64::EPSILON);
    let scale = |family| {
        ReferenceModel::open(&Golden::open(family).folder)
            .config
            .attention_scale()
    };
    // `wide` has the head sizes of V3; `odd` has no `YaRN`.
    assert!((scale("wide") - 0.135_233_778_9).abs() < 1e-10);
    assert!((scale("odd") - 18.0_f64.powf(-0.5)).abs() < 1e-12);
    assert!((scale("dsv2") / 24.0_f64.powf(-0.5) - 1.589_626_165_1).abs() < 1e-9);
}

#[test]
fn group_limited_routing() {
    let logits = [1.0, 0.5, -0.2, 0.1, 2.0, -1.0, 0.3, 0.7];
    let routing = Routing {
        scoring: Scoring::Softmax,
        groups: 4,
        groups_kept: 2,
        experts_per_token: 3,
        normalise: false,
        scale: 16.0,
        group_score: GroupScore::Max,
    };
    let routes = reference::route(&logits, 8, None, &routing);
    check_route(
        &routes[0],
        &[(4, 6.790_066_2), (0, 2.497_925_8), (1, 1.515_068_7)],
    );
    // The third group by its maximum is the one of expert 7.
    assert!((routes[0].margin - (0.156_120_4 - 0.115_656_8)).abs() < 1e-6);
}

#[test]
fn bias_corrected_routing() {
    let logits = [
        0.2, -0.5, 1.1, 0.0, 2.0, -3.0, -3.0, -3.0, 0.9, 0.8, -1.0, 0.1, 1.2, -0.2, 0.3, -2.0_f64,
    ];
    let bias = [
        0.05, 0.0, -0.1, 0.02, -0.3, 0.0, 0.0, 0.0, 0.1, 0.1, 0.0, -0.05, 0.0, 0.2, 0.0, 0.0,
    ];
    let routes = reference::route(&logits, 16, Some(&bias), &V3_ROUTING);
    check_route(
        &routes[0],
        &[
            (8, 0.678_487),
            (9, 0.658_469),
            (12, 0.733_433),
            (13, 0.429_611),
        ],
    );
    let sum: f64 = routes[0].experts.iter().map(|(_, weight)| weight).sum();
    assert!((sum - 2.5).abs() < 1e-12);
    // Between expert 13 and expert 14, closer than the groups 3 and 0.
    assert!((routes[0].margin - (0.650_166 - 0.574_443)).abs() < 2e-6);
}

const V3_ROUTING: Routing = Routing {
    scoring: Scoring::Sigmoid,
    groups: 4,
    groups_kept: 2,
    experts_per_token: 4,
    normalise: true,
    scale: 2.5,
    group_score: GroupScore::TopTwoSum,
};

fn check_route(actual: &Route<f64>, expected: &[(usize, f64)]) {
    assert_eq!(actual.experts.len(), expected.len());
    for (&(expert, weight), &(expected_expert, expected_weight)) in
        actual.experts.iter().zip(expected)
    {
        assert_eq!(expert, expected_expert);
        assert!(
            (weight - expected_weight).abs() < 1e-6,
            "expert {expert}: {weight} instead of {expected_weight}"
        );
    }
}

#[test]
fn equal_scores_go_to_the_lower_index() {
    let routes = reference::route(&[0.0_f32; 32], 16, None, &V3_ROUTING);
    assert_eq!(routes.len(), 2);
    for route in &routes {
        assert_eq!(route.experts, [0, 1, 2, 3].map(|expert| (expert, 0.625)));
        assert!(route.margin.abs() < f64::EPSILON);
    }
    let all = Routing {
        groups: 1,
        groups_kept: 1,
        experts_per_token: 16,
        ..V3_ROUTING
    };
    let route = &reference::route(&[0.0_f32; 16], 16, None, &all)[0];
    assert!(route.margin.is_infinite());
    assert_eq!(reference::argmax(&[1.0, 3.0, 2.0, 3.0]), 1);
}

#[test]
fn v2_normalises_or_scales() {
    let golden = Golden::open("dsv2");
    let mut config = ReferenceModel::open(&golden.folder).config;
    assert!(!config.routing().normalise);
    assert!((config.routing().scale - 16.0).abs() < f64::EPSILON);
    config.norm_topk_prob = true;
    assert!(config.routing().normalise);
    assert!((config.routing().scale - 1.0).abs() < f64::EPSILON);
}

#[test]
fn small_examples() {
    let table = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0_f32];
    assert_eq!(
        reference::embedding(&table, 2, &[2, 0, 2]),
        [5.0, 6.0, 1.0, 2.0, 5.0, 6.0]
    );
    assert_eq!(
        reference::matmul(&[1.0, 2.0, 3.0, 4.0], &table, 2),
        [5.0, 11.0, 17.0, 11.0, 25.0, 39.0]
    );
    // Two tokens, two heads: the first head doubles, the second adds its two values.
    let weight = [2.0, 0.0, 1.0, 1.0];
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0_f32];
    assert_eq!(
        reference::matmul_heads(&x, &weight, 2, 2),
        [2.0, 7.0, 10.0, 15.0]
    );
    assert_close(
        &reference::rms_norm(&[3.0, 4.0], &[1.0, 2.0], 0.0),
        &[0.848_528_1, 2.262_741_7],
        1e-6,
        "rms_norm",
    );
    assert_close(
        &reference::swiglu(&[0.0, 1.0], &[5.0, 2.0]),
        &[0.0, 1.462_117_2],
        1e-6,
        "swiglu",
    );
    assert_close(
        &reference::softmax(&[0.0, 1e30, 7.0, 7.0], 2),
        &[0.0, 1.0, 0.5, 0.5],
        0.0,
        "softmax",
    );
    assert_eq!(reference::add(&[1.0, 2.0], &[0.5, -2.0]), [1.5, 0.0]);
}

#[test]
fn attention_sees_only_what_is_visible() {
    let shape = LatentShape {
        heads: 1,
        latent: 2,
        rope: 1,
    };
    let cache = [1.0, 2.0, 0.0, 3.0, 4.0, 0.0, 9.0, 9.0, 1e9_f32];
    let query = [0.0, 0.0, 1.0].repeat(4);
    let visible = [vec![], vec![1], vec![1, 0], vec![0, 1, 2]];
    let attended = reference::latent_attention(&query, &cache, &visible, shape, 1.0);
    assert_eq!(attended, [0.0, 0.0, 3.0, 4.0, 2.0, 3.0, 9.0, 9.0]);
}

#[test]
fn experts_are_mixed_by_weight() {
    let (one, two) = ([1.0_f32], [2.0]);
    let expert = |down_proj| Mlp {
        gate_proj: &one,
        up_proj: &one,
        down_proj,
    };
    let routes = [
        Route {
            experts: vec![(1, 0.5), (0, 2.0)],
            margin: 1.0,
        },
        Route {
            experts: vec![],
            margin: 1.0,
        },
    ];
    let mixed = reference::moe(&[1.0, 1.0], 1, &[expert(&one), expert(&two)], &routes);
    assert_close(&mixed, &[3.0 * 0.731_058_6, 0.0], 1e-6, "moe");
}
