// choices, weights = the experts of each token: greedy and group-limited (DeepSeek-V2, arXiv 2405.04434) and with a
// correction bias (DeepSeek-V3, arXiv 2412.19437).
//
//   scores            [tokens, experts]
//   bias              [experts]
//   choices, weights  [tokens, slots]
//
// One workgroup per token. CHOSEN experts are routed to, in falling order of p + bias,
// the lower index first among equals; the slots behind them are the shared experts, with
// weight 1. Only experts of the KEPT best groups are eligible. Nothing is sorted: an
// expert's rank is the number of better ones.

struct Params {
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> scores: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> choices: array<u32>;
@group(0) @binding(4) var<storage, read_write> weights: array<f32>;

override WORKGROUP_SIZE: u32 = 128;
// The model's rule is compiled in: as parameters these made Mesa's software driver compile
// the kernel again at every launch.
override EXPERTS: u32 = 256;
override CHOSEN: u32 = 8;
override SLOTS: u32 = 9;
override GROUPS: u32 = 8;
override KEPT: u32 = 4;
override SIGMOID: u32 = 1;
override GROUP_BY_TWO: u32 = 1;
override NORMALISE: u32 = 1;

const NOTHING: f32 = -1e30;

var<workgroup> probabilities: array<f32, EXPERTS>;
var<workgroup> merits: array<f32, EXPERTS>;
var<workgroup> group_merits: array<f32, GROUPS>;
var<workgroup> picked: array<f32, CHOSEN>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let token = workgroup.x;
    let first_score = token * EXPERTS;

    var largest = NOTHING;
    var total = 0.0;
    if SIGMOID == 0 {
        for (var i = 0u; i < EXPERTS; i++) {
            largest = max(largest, scores[first_score + i]);
        }
        for (var i = 0u; i < EXPERTS; i++) {
            total += exp(scores[first_score + i] - largest);
        }
    }
    for (var expert = lane; expert < EXPERTS; expert += WORKGROUP_SIZE) {
        let score = scores[first_score + expert];
        var probability = 0.0;
        if SIGMOID == 0 {
            probability = exp(score - largest) / total;
        } else {
            probability = 1 / (1 + exp(min(-score, 80.0)));
        }
        probabilities[expert] = probability;
        merits[expert] = probability + bias[expert];
    }
    workgroupBarrier();

    let group_size = EXPERTS / GROUPS;
    for (var group = lane; group < GROUPS; group += WORKGROUP_SIZE) {
        var best = NOTHING;
        var second = NOTHING;
        for (var i = group * group_size; i < (group + 1) * group_size; i++) {
            let merit = merits[i];
            second = max(second, min(best, merit));
            best = max(best, merit);
        }
        group_merits[group] = best + select(0.0, second, GROUP_BY_TWO != 0 && group_size > 1);
    }
    workgroupBarrier();

    for (var expert = lane; expert < EXPERTS; expert += WORKGROUP_SIZE) {
        let group = expert / group_size;
        var rank = 0u;
        for (var other = 0u; other < GROUPS; other++) {
            let ahead = group_merits[other] > group_merits[group];
            let tied = group_merits[other] == group_merits[group];
            rank += u32(ahead | (tied & (other < group)));
        }
        if rank >= KEPT {
            merits[expert] = NOTHING;
        }
    }
    workgroupBarrier();

    for (var expert = lane; expert < EXPERTS; expert += WORKGROUP_SIZE) {
        let merit = merits[expert];
        var rank = 0u;
        for (var other = 0u; other < EXPERTS; other++) {
            let ahead = merits[other] > merit;
            let tied = merits[other] == merit;
            rank += u32(ahead | (tied & (other < expert)));
        }
        if rank < CHOSEN {
            choices[token * SLOTS + rank] = expert;
            picked[rank] = probabilities[expert];
        }
    }
    workgroupBarrier();

    var divisor = 1.0;
    if NORMALISE != 0 {
        divisor = 1e-20;
        for (var i = 0u; i < CHOSEN; i++) {
            divisor += picked[i];
        }
    }
    for (var slot = lane; slot < SLOTS; slot += WORKGROUP_SIZE) {
        let at = token * SLOTS + slot;
        if slot < CHOSEN {
            weights[at] = picked[slot] / divisor * params.scale;
        } else {
            choices[at] = EXPERTS + slot - CHOSEN;
            weights[at] = 1;
        }
    }
}
