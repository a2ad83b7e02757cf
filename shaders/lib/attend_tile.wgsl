// Which query rows a workgroup attends for: some heads, which share keys, of some neighbouring tokens; eight rows at most.
//
// Needs positions, and of `params` heads, kv_heads, width, tokens, tile_heads, tile_tokens, splits and
// split_keys.

// The first token and head, the head of keys, how many of each, and the part of the context.
struct Tile {
    token: u32,
    head: u32,
    kv_head: u32,
    tokens: u32,
    heads: u32,
    split: u32,
    // Splits that are in use.
    splits: u32,
}

fn attend_tile(workgroup: vec3u) -> Tile {
    let group = params.heads / params.kv_heads;
    let head_tiles = (group + params.tile_heads - 1) / params.tile_heads;
    let kv_head = workgroup.x / head_tiles;
    let first = workgroup.x % head_tiles * params.tile_heads;
    let token = workgroup.z * params.tile_tokens;
    let context = positions[token] + 1;
    let splits = splits_of(context);
    return Tile(
        token,
        kv_head * group + first,
        kv_head,
        min(params.tile_tokens, params.tokens - token),
        min(params.tile_heads, group - first),
        workgroup.y,
        splits,
    );
}

// The tokens of rows; those beyond the last repeat it.
fn attend_tokens(tile: Tile, rows: vec4u) -> vec4u {
    return tile.token + min(rows / tile.heads, vec4u(tile.tokens - 1));
}

// Where the queries of rows start in q.
fn attend_starts(tile: Tile, rows: vec4u) -> vec4u {
    return (attend_tokens(tile, rows) * params.heads + tile.head + rows % tile.heads) * params.width;
}

// The keys that rows see, of tokens first .. last - 1 of the tile; none of the others.
fn attend_ends(tile: Tile, rows: vec4u, first: u32, last: u32, end: u32) -> vec4u {
    let tokens = attend_tokens(tile, rows);
    let own = vec4u(positions[tokens.x], positions[tokens.y], positions[tokens.z], positions[tokens.w]) + 1;
    let known = (tokens >= vec4u(tile.token + first)) & (tokens < vec4u(tile.token + last));
    return select(vec4u(), min(own, vec4u(end)), known);
}
