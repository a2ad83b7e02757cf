// Matrix units of 16 by 16 values: operands in f16, sums in f32.
//
// Needs the device's matrix units of that kind and its f16.

alias UnitValue = f16;
alias UnitTokens = coop_mat16x16<f16, A>;
alias UnitWeights = coop_mat16x16<f16, B>;
alias UnitSums = coop_mat16x16<f32, C>;

// Rows, and columns, of a unit.
const UNIT: u32 = 16;
// Columns of the weight that are staged at a time.
const UNIT_STEP: u32 = 16;
// A number is two f16: its first 11 bits, and the rest. Of the four products of two
// numbers the one of both rests is nothing beside the others.
const UNIT_PARTS: u32 = 2;
const UNIT_PRODUCTS: u32 = 3;
// Weights times this are operands: common ones leave rests that f16 holds well. Those
// beyond 8188, which no model has, make products that are no numbers.
const UNIT_WEIGHT_SCALE: f32 = 16.0;

// The first parts of four numbers.
fn unit_high(values: vec4f) -> vec4<f16> {
    return vec4<f16>(unit_first_bits(values));
}

// The rests, and whatever is no number.
fn unit_low(values: vec4f) -> vec4<f16> {
    return vec4<f16>(values - unit_first_bits(values));
}

// In integer arithmetic: drivers take f32 to f16 and back for nothing at all.
fn unit_first_bits(values: vec4f) -> vec4f {
    let fitting = clamp(values, vec4f(-65504), vec4f(65504));
    return bitcast<vec4f>(bitcast<vec4u>(fitting) & vec4u(0xffffe000));
}
