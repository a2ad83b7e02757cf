//! Router scores to expert choices, with the gap that made each choice.

use super::{Real, best_first, shares, sigmoid};

/// How router logits become scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scoring {
    /// Over all experts together (V2).
    Softmax,
    /// Each expert for itself (V3).
    Sigmoid,
}

/// How good a group of experts is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GroupScore {
    /// Its best expert (V2).
    Max,
    /// Its two best experts together (V3).
    TopTwoSum,
}

/// The rule by which tokens choose experts.
#[derive(Clone, Copy, Debug)]
pub struct Routing {
    /// How logits become scores.
    pub scoring: Scoring,
    /// Groups of consecutive experts, all of one size.
    pub groups: usize,
    /// Groups that a token may choose from.
    pub groups_kept: usize,
    /// Experts that a token chooses.
    pub experts_per_token: usize,
    /// Whether the chosen scores are divided by their sum.
    pub normalise: bool,
    /// What the weights are multiplied with in the end.
    pub scale: f64,
    /// How groups compare.
    pub group_score: GroupScore,
}

/// What one token chose.
#[derive(Clone, Debug, PartialEq)]
pub struct Route<R = f32> {
    /// Experts with their weights, best first.
    pub experts: Vec<(usize, R)>,
    /// The smallest gap between something chosen and something left out: experts of the kept groups, and
    /// groups. Infinite where nothing was left out.
    pub margin: f64,
}

impl<R> Route<R> {
    /// The chosen experts in ascending order.
    pub fn set(&self) -> Vec<usize> {
        let mut set: Vec<usize> = self.experts.iter().map(|&(expert, _)| expert).collect();
        set.sort_unstable();
        set
    }
}

/// The experts of each token; of equal scores the lower index wins.
///
/// `logits: [tokens, experts]`, `bias: [experts]`, added for choosing but not to the weights.
pub fn route<R: Real>(
    logits: &[R],
    experts: usize,
    bias: Option<&[R]>,
    routing: &Routing,
) -> Vec<Route<R>> {
    assert_eq!((logits.len() % experts, experts % routing.groups), (0, 0));
    logits
        .chunks(experts)
        .map(|row| choose(row, bias, routing))
        .collect()
}

fn choose<R: Real>(logits: &[R], bias: Option<&[R]>, routing: &Routing) -> Route<R> {
    let logits: Vec<f64> = logits.iter().map(|logit| logit.wide()).collect();
    let scores = match routing.scoring {
        Scoring::Softmax => shares(&logits),
        Scoring::Sigmoid => logits.iter().map(|&logit| sigmoid(logit)).collect(),
    };
    let bias = |expert: usize| bias.map_or(0.0, |bias| bias[expert].wide());
    let choosing: Vec<f64> = scores
        .iter()
        .enumerate()
        .map(|(expert, score)| score + bias(expert))
        .collect();

    let group_size = scores.len() / routing.groups;
    let group_scores: Vec<f64> = choosing
        .chunks(group_size)
        .map(|group| score_group(group, routing))
        .collect();
    let (groups, group_margin) = largest(
        &group_scores,
        (0..routing.groups).collect(),
        routing.groups_kept,
    );
    let candidates = (0..scores.len()).filter(|expert| groups.contains(&(expert / group_size)));
    let (chosen, margin) = largest(&choosing, candidates.collect(), routing.experts_per_token);

    let sum: f64 = if routing.normalise {
        chosen.iter().map(|&expert| scores[expert]).sum()
    } else {
        1.0
    };
    let weight = |expert: usize| R::narrow(scores[expert] / sum * routing.scale);
    Route {
        experts: chosen
            .into_iter()
            .map(|expert| (expert, weight(expert)))
            .collect(),
        margin: margin.min(group_margin),
    }
}

fn score_group(group: &[f64], routing: &Routing) -> f64 {
    let best = best_first((0..group.len()).collect(), &|expert| group[expert]);
    match routing.group_score {
        GroupScore::Max => group[best[0]],
        GroupScore::TopTwoSum => best.iter().take(2).map(|&expert| group[expert]).sum(),
    }
}

/// The `count` candidates with the largest scores, best first, and their lead over the next one.
fn largest(scores: &[f64], candidates: Vec<usize>, count: usize) -> (Vec<usize>, f64) {
    let mut candidates = best_first(candidates, &|candidate| scores[candidate]);
    let next = candidates.get(count).copied();
    candidates.truncate(count);
    let margin = match (candidates.last(), next) {
        (Some(&last), Some(next)) => scores[last] - scores[next],
        _ => f64::INFINITY,
    };
    (candidates, margin)
}
