// y = a token of each row, drawn by softmax(scores / temperature) among those kept; u32 max if a score is not finite.
//
//   scores  [rows, width]
//   draws   [rows]
//   y       [rows]
//
// One workgroup per row. Each token has a random number of the exponential distribution, by the
// row's seed and position and the token's own number, and the token with the largest share of its
// weight by that number is drawn (Gumbel-max, of which https://arxiv.org/abs/1411.0030 tells more).
// Kept are the first tokens of all in the order of their scores, so nothing need be sorted: if the
// winner is behind those kept, so are all tokens behind it, and the ones before it race again.

struct Params {
    width: u32,
}

struct Draw {
    seed_low: u32,
    seed_high: u32,
    position: u32,
    top_k: u32,
    temperature: f32,
    top_p: f32,
    min_p: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> scores: array<u32>;
@group(0) @binding(2) var<storage, read> draws: array<Draw>;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;

override WORKGROUP_SIZE: u32 = 256;

const NOT_FINITE = 0xffffffffu;
// A token's weight; the best one's is 1. Nothing on the way exceeds f32.
fn weight_of(score: f32, best: f32, temperature: f32) -> f32 {
    let half = 0.5 * best - 0.5 * score;
    if half >= 52 * temperature {
        return 0.0;
    }
    return exp(-2 * half / temperature);
}

// A race.
struct Race {
    draw: Draw,
    best: BestPart,
    // Tokens before this one take part; its `mark` is its score.
    limit: BestPart,
}

// A part of a race with one token more.
fn race_with(part: BestPart, race: Race, bits: u32, token: u32, word: u32) -> BestPart {
    let score = bitcast<f32>(bits);
    let ties = score == race.limit.mark && token < race.limit.token;
    if token >= params.width || !(score > race.limit.mark || ties) {
        return part;
    }
    let weight = weight_of(score, race.best.mark, race.draw.temperature);
    let mark = weight / random_exponential(word);
    let wins = weight >= race.draw.min_p && mark > part.mark;
    return BestPart(
        part.count + 1,
        part.weight + weight,
        select(part.mark, mark, wins),
        select(part.token, token, wins),
    );
}

fn winner_of(row: u32, race: Race, lane: u32) -> BestPart {
    var part = BestPart(0, 0.0, 0.0, race.best.token);
    let draw = race.draw;
    for (var i = 4 * lane; i < params.width; i += 4 * WORKGROUP_SIZE) {
        let bits = best_words(row, i, params.width);
        let words = random_words(vec4u(draw.seed_low, draw.seed_high, draw.position, i / 4));
        part = race_with(part, race, bits.x, i, words.x);
        part = race_with(part, race, bits.y, i + 1, words.y);
        part = race_with(part, race, bits.z, i + 2, words.z);
        part = race_with(part, race, bits.w, i + 3, words.w);
    }
    return best_joined(part, lane);
}

// The weight of the best `count` tokens.
fn weight_of_best(row: u32, count: u32, draw: Draw, best: BestPart, lane: u32) -> f32 {
    radix_select(row, params.width, count, lane);
    var part = BestPart(0, 0.0, 0.0, 0);
    for (var i = lane; i < params.width; i += WORKGROUP_SIZE) {
        let bits = scores[row + i];
        let order = radix_order(bits);
        let weight = weight_of(bitcast<f32>(bits), best.mark, draw.temperature);
        part.weight += select(0.0, weight, order > radix_least);
        part.mark = select(part.mark, weight, order == radix_least);
    }
    let all = best_joined(part, lane);
    return all.weight + f32(workgroupUniformLoad(&radix_left)) * all.mark;
}

// The winner of the race of those kept.
fn drawn(row: u32, draw: Draw, best: BestPart, lane: u32) -> u32 {
    let kept = min(draw.top_k - 1, params.width - 1) + 1;
    var race = Race(draw, best, BestPart(0, 0.0, -BEST_LARGEST, params.width));
    var winner = winner_of(row, race, lane);
    var enough = BEST_LARGEST;
    if draw.top_p < 1 {
        enough = draw.top_p * winner.weight;
        if kept < params.width {
            enough = draw.top_p * weight_of_best(row, kept, draw, best, lane);
        }
    } else if kept == params.width {
        return winner.token;
    }
    loop {
        race.limit = BestPart(0, 0.0, bitcast<f32>(scores[row + winner.token]), winner.token);
        let before = winner_of(row, race, lane);
        // The token that reaches `enough` is kept, and the best one always.
        if before.count == 0 || (before.count < kept && before.weight < enough) {
            break;
        }
        winner = before;
    }
    return winner.token;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = workgroup.x * params.width;
    let draw = draws[workgroup.x];
    let best = best_of(row, params.width, lane);
    var token = select(best.token, NOT_FINITE, best.count > 0);
    if best.count == 0 && draw.temperature > 0 {
        token = drawn(row, draw, best, lane);
    }
    if lane == 0 {
        y[workgroup.x] = token;
    }
}
