// Softmax attention of a tile: up to eight query rows that share keys, with the online softmax of FlashAttention
// (arXiv 2205.14135).
//
// The rows are some heads of some neighbouring tokens. Every load of the cache serves all
// of them: a lane computes the scores of four keys at a time, then owns eight columns of
// the values, for every key or, if lanes are left, for every so many.
//
// Needs q: array<Wide>, `cache`, positions, sequences, blocks, WORKGROUP_SIZE, BLOCK; of `params` heads, kv_heads,
// width and value (in chunks of 8 columns; value <= WORKGROUP_SIZE), tokens, tile_heads, tile_tokens, splits,
// split_keys, blocks_per_sequence and scale; and of the kernel
//   fn row_chunks() -> u32                  // of a row of the cache
//   fn key_start(kv_head: u32) -> u32       // the chunk of it at which a key starts
//   fn value_start(kv_head: u32) -> u32

// Keys begin .. end - 1 of a sequence, for those rows that see them.
fn attend_range(
    state: ptr<function, Attended>,
    tile: Tile,
    lane: u32,
    sequence: u32,
    begin: u32,
    end: u32,
    low_ends: vec4u,
    high_ends: vec4u,
) {
    let low_at = attend_starts(tile, vec4u(0, 1, 2, 3));
    let high_at = attend_starts(tile, vec4u(4, 5, 6, 7));
    let row_words = cache_words(row_chunks());
    let key_chunk = key_start(tile.kv_head);
    for (var start = begin; start < end; start += 4 * WORKGROUP_SIZE) {
        let first = start + 4 * lane;
        let keys = row_words * slots_of(sequence, min(first + vec4u(0, 1, 2, 3), vec4u(end - 1)));
        attend_keys[lane] = keys;
        // Lanes beyond the end, of which eight go together, have no keys.
        let chunks = select(0, params.width, first - 4 * (lane % 8) < end);
        let scores = key_scores(low_at, high_at, keys, key_chunk, chunks, lane);
        var low = attend_masked(scores.low, first, low_ends);
        var high = attend_masked(scores.high, first, high_ends);
        var most = mat2x4f(attend_most(low, (*state).largest[0]), attend_most(high, (*state).largest[1]));
        most = attend_largest(most, end - start, lane);
        low = transpose(attend_weighed(low, most[0], first, low_ends));
        high = transpose(attend_weighed(high, most[1], first, high_ends));
        for (var j = 0u; j < 4; j++) {
            attend_weights[lane][j] = low[j];
            attend_weights[lane][j + 4] = high[j];
        }
        let shrink = mat2x4f(exp((*state).largest[0] - most[0]), exp((*state).largest[1] - most[1]));
        (*state).largest = most;
        workgroupBarrier();

        (*state).total = mat2x4f((*state).total[0] * shrink[0], (*state).total[1] * shrink[1]);
        (*state).low = heads_scaled((*state).low, shrink[0]);
        (*state).high = heads_scaled((*state).high, shrink[1]);
        attend_values(state, value_start(tile.kv_head), end - start, lane);
        // The next keys overwrite what slower lanes still read.
        workgroupBarrier();
    }
}

// A tile's share of its tokens' contexts.
fn attend(tile: Tile, lane: u32) -> Attended {
    let nothing = vec4f(ATTEND_NOTHING);
    var state = Attended(mat2x4f(nothing, nothing), mat2x4f(), Heads(), Heads());
    for (var first = 0u; first < tile.tokens;) {
        // Tokens of one sequence share its keys.
        let sequence = sequences[tile.token + first];
        var context = 0u;
        var last = first;
        while last < tile.tokens && sequences[tile.token + last] == sequence {
            context = max(context, positions[tile.token + last] + 1);
            last++;
        }
        let begin = split_begin(tile.split, context, tile.splits);
        let end = split_begin(tile.split + 1, context, tile.splits);
        let low_ends = attend_ends(tile, vec4u(0, 1, 2, 3), first, last, end);
        let high_ends = attend_ends(tile, vec4u(4, 5, 6, 7), first, last, end);
        attend_range(&state, tile, lane, sequence, begin, end, low_ends, high_ends);
        first = last;
    }
    return state;
}
