// Matrix units of 8 by 8 values: operands in f32, sums in f32.
//
// Needs the device's matrix units of that kind.

alias UnitValue = f32;
alias UnitTokens = coop_mat8x8<f32, A>;
alias UnitWeights = coop_mat8x8<f32, B>;
alias UnitSums = coop_mat8x8<f32, C>;

// Rows, and columns, of a unit.
const UNIT: u32 = 8;
// Columns of the weight that are staged at a time.
const UNIT_STEP: u32 = 16;
// A number is an operand as it is.
const UNIT_PARTS: u32 = 1;
const UNIT_PRODUCTS: u32 = 1;
const UNIT_WEIGHT_SCALE: f32 = 1.0;

// Four numbers.
fn unit_high(values: vec4f) -> vec4f {
    return values;
}

// What that leaves of them.
fn unit_low(values: vec4f) -> vec4f {
    return vec4f();
}
