use bytemuck::{Pod, Zeroable};

use super::row_lanes;
use crate::gpu::{Dispatch, Pass, Tensor};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    scale: f32,
}

/// How router scores become probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scoring {
    /// DeepSeek-V2.
    Softmax,
    /// DeepSeek-V3.
    Sigmoid,
}

/// What a group of experts is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupScore {
    /// Its best expert, as in DeepSeek-V2.
    Best,
    /// The sum of its two best, as in DeepSeek-V3.
    BestTwo,
}

/// How experts are chosen and weighted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoutingRule {
    /// How scores become probabilities.
    pub scoring: Scoring,
    /// Experts that a token is routed to.
    pub experts_per_token: usize,
    /// Shared experts, numbered after the routed ones; every token goes to all of them.
    pub shared_experts: usize,
    /// Equal groups of neighbouring experts.
    pub groups: usize,
    /// Groups that a token's experts may come from.
    pub groups_kept: usize,
    /// What a group is judged by.
    pub group_score: GroupScore,
    /// Whether the chosen probabilities are divided by their sum.
    pub normalise: bool,
    /// What the weights are multiplied with.
    pub scale: f32,
}

/// The experts of each token and their weights.
pub struct Routes {
    /// Routed experts, best first, then the shared ones.
    pub choices: Tensor, // [tokens, slots] of u32
    /// What each expert's output is multiplied with; 1 for shared ones.
    pub weights: Tensor, // [tokens, slots]
}

/// Chooses the experts of each token.
///
/// `scores: [tokens, experts]`, `bias: [experts]`
#[track_caller]
pub fn route(pass: &mut Pass, scores: &Tensor, bias: &Tensor, rule: &RoutingRule) -> Routes {
    let [tokens, experts] = scores.dims();
    assert_eq!(bias.dims(), [experts]);
    assert!(
        experts <= 512 && rule.groups <= 64 && rule.experts_per_token <= 64,
        "{experts} experts, {rule:?}"
    );
    assert!(
        experts.is_multiple_of(rule.groups),
        "{experts} experts, {rule:?}"
    );
    assert!(
        rule.experts_per_token <= experts / rule.groups * rule.groups_kept,
        "{experts} experts, {rule:?}"
    );

    let slots = rule.experts_per_token + rule.shared_experts;
    let choices = pass.tensor(&[tokens, slots]);
    let weights = pass.tensor(&[tokens, slots]);
    pass.dispatch(Dispatch {
        kernel: kernel!("route"),
        constants: &[
            ("WORKGROUP_SIZE", row_lanes(pass.gpu.tiers)),
            ("EXPERTS", experts as u32),
            ("CHOSEN", rule.experts_per_token as u32),
            ("SLOTS", slots as u32),
            ("GROUPS", rule.groups as u32),
            ("KEPT", rule.groups_kept as u32),
            ("SIGMOID", u32::from(rule.scoring == Scoring::Sigmoid)),
            (
                "GROUP_BY_TWO",
                u32::from(rule.group_score == GroupScore::BestTwo),
            ),
            ("NORMALISE", u32::from(rule.normalise)),
        ],
        params: Params { scale: rule.scale },
        inputs: &[scores, bias],
        weight: None,
        outputs: &[&choices, &weights],
        workgroups: [tokens, 1, 1],
    });
    Routes { choices, weights }
}
