// choices, weights = the experts of each token: greedy and group-limited (DeepSeek-V2, arXiv 2405.04434) and with a
// correction bias (DeepSeek-V3, arXiv 2412.19437).
//
//   scores            [tokens, experts]
//   bias              [experts]
//   choices, weights  [tokens, slots]
//
// One workgroup per token. `chosen` experts are routed to, in falling order of p + bias,
// the lower index first among equals; the slots behind them are the shared experts, with
// weight 1. Only experts of the `kept` best groups are eligible. Nothing is sorted: an
// expert's rank is the number of better ones.

struct Params {
    experts: u32,
    slots: u32,
    chosen: u32,
    groups: u32,
    kept: u32,
    sigmoid: u32,
    group_by_two: u32,
    normalise: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> scores: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> choices: array<u32>;
@group(0) @binding(4) var<storage, read_write> weights: array<f32>;

override WORKGROUP_SIZE: u32 = 128;

const MAX_EXPERTS = 512u;
const MAX_GROUPS = 64u;
const MAX_CHOSEN = 64u;
const NOTHING: f32 = -1e30;

var<workgroup> probabilities: array<f32, MAX_EXPERTS>;
var<workgroup> merits: array<f32, MAX_EXPERTS>;
var<workgroup> group_merits: array<f32, MAX_GROUPS>;
var<workgroup> picked: array<f32, MAX_CHOSEN>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let token = workgroup.x;
    let first_score = token * params.experts;

    var largest = NOTHING;
    var total = 0.0;
    if params.sigmoid == 0 {
        for (var i = 0u; i < params.experts; i++) {
            largest = max(largest, scores[first_score + i]);
        }
        for (var i = 0u; i < params.experts; i++) {
            total += exp(scores[first_score + i] - largest);
        }
    }
    for (var expert = lane; expert < params.experts; expert += WORKGROUP_SIZE) {
        let score = scores[first_score + expert];
        var probability = 0.0;
        if params.sigmoid == 0 {
            probability = exp(score - largest) / total;
        } else {
            probability = 1 / (1 + exp(min(-score, 80.0)));
        }
        probabilities[expert] = probability;
        merits[expert] = probability + bias[expert];
    }
    workgroupBarrier();

    let group_size = params.experts / params.groups;
    for (var group = lane; group < params.groups; group += WORKGROUP_SIZE) {
        var best = NOTHING;
        var second = NOTHING;
        for (var i = group * group_size; i < (group + 1) * group_size; i++) {
            let merit = merits[i];
            second = max(second, min(best, merit));
            best = max(best, merit);
        }
        group_merits[group] = best + select(0.0, second, params.group_by_two != 0 && group_size > 1);
    }
    workgroupBarrier();

    for (var expert = lane; expert < params.experts; expert += WORKGROUP_SIZE) {
        let group = expert / group_size;
        var rank = 0u;
        for (var other = 0u; other < params.groups; other++) {
            let ahead = group_merits[other] > group_merits[group];
            let tied = group_merits[other] == group_merits[group] && other < group;
            rank += u32(ahead || tied);
        }
        if rank >= params.kept {
            merits[expert] = NOTHING;
        }
    }
    workgroupBarrier();

    for (var expert = lane; expert < params.experts; expert += WORKGROUP_SIZE) {
        let merit = merits[expert];
        var rank = 0u;
        for (var other = 0u; other < params.experts; other++) {
            rank += u32(merits[other] > merit || (merits[other] == merit && other < expert));
        }
        if rank < params.chosen {
            choices[token * params.slots + rank] = expert;
            picked[rank] = probabilities[expert];
        }
    }
    workgroupBarrier();

    for (var slot = lane; slot < params.slots; slot += WORKGROUP_SIZE) {
        if slot >= params.chosen {
            choices[token * params.slots + slot] = params.experts + slot - params.chosen;
            weights[token * params.slots + slot] = 1;
            continue;
        }
        var divisor = 1.0;
        if params.normalise != 0 {
            divisor = 1e-20;
            for (var i = 0u; i < params.chosen; i++) {
                divisor += picked[i];
            }
        }
        weights[token * params.slots + slot] = picked[slot] / divisor * params.scale;
    }
}
