// Tiles of products of operands with rows of the weight, by matrix units.
//
// Needs subgroups, WORKGROUP_SIZE = 4 * WIDEST_SUBGROUP, operands: array<UnitValue> with
// rows of params.stride values, zeros behind the weight's columns up to a multiple of
// UNIT_STEP, and their second parts params.low further on, and of the kernel
//   Tile                                 where a tile lies; `first` is its first row of
//                                        operands, `chunks` are the chunks of 8 of a row
//   tile_weights(tile, place, chunk)     weights of the row at a place below MATRIX_ROWS
//   tile_store(tile, token, row, value)  takes the product at the places `token` and `row`
//
// Four subgroups share a tile of MATRIX_TOKENS by MATRIX_ROWS, two by two; each has two
// units of tokens by four of rows. Weights are unpacked once per tile; operands come
// from memory unit by unit. Where subgroups are narrower than the widest, there are more
// of them, and those beyond four help with the loads only.

const MATRIX_TOKENS: u32 = 4 * UNIT;
const MATRIX_ROWS: u32 = 8 * UNIT;
// Values from one row to the next, some of them unused: rows side by side lie in different banks.
const MATRIX_PITCH: u32 = UNIT_STEP + 8;
const MATRIX_CHUNKS: u32 = UNIT_STEP / 8;

var<workgroup> matrix_weights: array<UnitValue, UNIT_PARTS * MATRIX_ROWS * MATRIX_PITCH>;
var<workgroup> matrix_sums: array<f32, 4 * UNIT * UNIT>;

// Computes and stores the products of `tile`; called by all lanes.
fn matrix_run(tile: Tile, subgroup: u32, lane: u32) {
    let part = subgroup % 4;
    let steps = (tile.chunks + MATRIX_CHUNKS - 1) / MATRIX_CHUNKS;
    let upper = (tile.first + part / 2 * 2 * UNIT) * params.stride;
    let lower = upper + UNIT * params.stride;
    let rows = part % 2 * 4 * UNIT * MATRIX_PITCH;
    var s00 = UnitSums();
    var s01 = UnitSums();
    var s02 = UnitSums();
    var s03 = UnitSums();
    var s10 = UnitSums();
    var s11 = UnitSums();
    var s12 = UnitSums();
    var s13 = UnitSums();
    for (var step = 0u; step < steps; step++) {
        // Slower subgroups still read what is overwritten.
        workgroupBarrier();
        matrix_stage(tile, step, lane);
        workgroupBarrier();
        // Of parts of tokens and of weights: first with first, second with first, first with second.
        for (var i = 0u; i < UNIT_PRODUCTS * (UNIT_STEP / UNIT); i++) {
            let product = i % UNIT_PRODUCTS;
            let k = i / UNIT_PRODUCTS * UNIT;
            let tokens_at = step * UNIT_STEP + k + select(0, params.low, product == 1);
            let t0 = coopLoadT<UnitTokens>(&operands[upper + tokens_at], params.stride);
            let t1 = coopLoadT<UnitTokens>(&operands[lower + tokens_at], params.stride);
            let w_at = rows + k + select(0, MATRIX_ROWS * MATRIX_PITCH, product == 2);
            let w0 = coopLoad<UnitWeights>(&matrix_weights[w_at], MATRIX_PITCH);
            s00 = coopMultiplyAdd(t0, w0, s00);
            s10 = coopMultiplyAdd(t1, w0, s10);
            let w1 = coopLoad<UnitWeights>(&matrix_weights[w_at + UNIT * MATRIX_PITCH], MATRIX_PITCH);
            s01 = coopMultiplyAdd(t0, w1, s01);
            s11 = coopMultiplyAdd(t1, w1, s11);
            let w2 = coopLoad<UnitWeights>(&matrix_weights[w_at + 2 * UNIT * MATRIX_PITCH], MATRIX_PITCH);
            s02 = coopMultiplyAdd(t0, w2, s02);
            s12 = coopMultiplyAdd(t1, w2, s12);
            let w3 = coopLoad<UnitWeights>(&matrix_weights[w_at + 3 * UNIT * MATRIX_PITCH], MATRIX_PITCH);
            s03 = coopMultiplyAdd(t0, w3, s03);
            s13 = coopMultiplyAdd(t1, w3, s13);
        }
    }
    matrix_store(tile, s00, 0, 0, subgroup, lane);
    matrix_store(tile, s01, 0, 1, subgroup, lane);
    matrix_store(tile, s02, 0, 2, subgroup, lane);
    matrix_store(tile, s03, 0, 3, subgroup, lane);
    matrix_store(tile, s10, 1, 0, subgroup, lane);
    matrix_store(tile, s11, 1, 1, subgroup, lane);
    matrix_store(tile, s12, 1, 2, subgroup, lane);
    matrix_store(tile, s13, 1, 3, subgroup, lane);
}

// Unpacks a step of the tile's rows, with zeros behind their ends.
fn matrix_stage(tile: Tile, step: u32, lane: u32) {
    for (var i = lane; i < MATRIX_ROWS * MATRIX_CHUNKS; i += WORKGROUP_SIZE) {
        let place = i / MATRIX_CHUNKS;
        let chunk = step * MATRIX_CHUNKS + i % MATRIX_CHUNKS;
        var values = mat2x4f();
        if chunk < tile.chunks {
            values = tile_weights(tile, place, chunk);
        }
        let at = place * MATRIX_PITCH + i % MATRIX_CHUNKS * 8;
        for (var half = 0u; half < 2; half++) {
            let scaled = UNIT_WEIGHT_SCALE * values[half];
            matrix_put(at + 4 * half, unit_high(scaled));
            if UNIT_PARTS == 2 {
                matrix_put(at + 4 * half + MATRIX_ROWS * MATRIX_PITCH, unit_low(scaled));
            }
        }
    }
}

fn matrix_put(at: u32, values: vec4<UnitValue>) {
    matrix_weights[at] = values.x;
    matrix_weights[at + 1] = values.y;
    matrix_weights[at + 2] = values.z;
    matrix_weights[at + 3] = values.w;
}

// Stores unit [i][j] of every part: no lane knows which of a unit's values it holds.
fn matrix_store(tile: Tile, sums: UnitSums, i: u32, j: u32, subgroup: u32, lane: u32) {
    workgroupBarrier();
    if subgroup < 4 {
        coopStoreT(sums, &matrix_sums[subgroup * UNIT * UNIT], UNIT);
    }
    workgroupBarrier();
    for (var at = lane; at < 4 * UNIT * UNIT; at += WORKGROUP_SIZE) {
        let part = at / (UNIT * UNIT);
        let token = (part / 2 * 2 + i) * UNIT + at / UNIT % UNIT;
        let row = (part % 2 * 4 + j) * UNIT + at % UNIT;
        tile_store(tile, token, row, matrix_sums[at] / UNIT_WEIGHT_SCALE);
    }
}
