// The best of some tokens, and what they add up to, across a workgroup.
//
// Needs WORKGROUP_SIZE, a power of two, and `scores`, the bits of f32.

const BEST_EXPONENT = 0x7f800000u;
const BEST_LARGEST = 0x1.fffffep127;

// What some tokens come to: how many, their weight, and the one with the largest mark, the first of equals.
struct BestPart {
    count: u32,
    weight: f32,
    mark: f32,
    token: u32,
}

var<workgroup> best_parts: array<BestPart, WORKGROUP_SIZE>;

// All lanes' parts together.
fn best_joined(part: BestPart, lane: u32) -> BestPart {
    best_parts[lane] = part;
    for (var half = WORKGROUP_SIZE / 2; half > 0; half /= 2) {
        workgroupBarrier();
        if lane < half {
            let a = best_parts[lane];
            let b = best_parts[lane + half];
            let is_better = b.mark > a.mark || (b.mark == a.mark && b.token < a.token);
            best_parts[lane] = BestPart(
                a.count + b.count,
                a.weight + b.weight,
                select(a.mark, b.mark, is_better),
                select(a.token, b.token, is_better),
            );
        }
    }
    return workgroupUniformLoad(&best_parts[0]);
}

// The bits of four neighbouring scores of a row, loaded together; behind its end the last one again.
fn best_words(first: u32, token: u32, width: u32) -> vec4u {
    let places = first + min(token + vec4u(0, 1, 2, 3), vec4u(width - 1));
    return vec4u(scores[places.x], scores[places.y], scores[places.z], scores[places.w]);
}

// A part with one score more. Tested as bits: a shader may assume that floats are finite.
fn best_with(part: BestPart, bits: u32, token: u32) -> BestPart {
    let is_finite = (bits & BEST_EXPONENT) != BEST_EXPONENT;
    let score = bitcast<f32>(select(0, bits, is_finite));
    let is_better = is_finite && score > part.mark;
    return BestPart(
        part.count + u32(!is_finite),
        part.weight,
        select(part.mark, score, is_better),
        select(part.token, token, is_better),
    );
}

// The largest of `width` scores from `first` on; `count` is 0 if all are finite.
fn best_of(first: u32, width: u32, lane: u32) -> BestPart {
    // The least f32: whatever is not above it ties with it.
    var part = BestPart(0, 0.0, -BEST_LARGEST, min(4 * lane, width - 1));
    for (var i = 4 * lane; i < width; i += 4 * WORKGROUP_SIZE) {
        let bits = best_words(first, i, width);
        part = best_with(part, bits.x, i);
        part = best_with(part, bits.y, i + 1);
        part = best_with(part, bits.z, i + 2);
        part = best_with(part, bits.w, i + 3);
    }
    return best_joined(part, lane);
}
