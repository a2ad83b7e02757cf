// entries = the (token, slot) pairs in order of their expert; tiles = runs of up to TILE entries of one expert.
//
//   choices  [tokens, slots]
//   entries  [tokens, slots]
//   tiles    [max_tiles, 4]
//
// One workgroup in all; a lane lists one expert's entries at a time, so their order is
// always the same. An entry is token * slots + slot. A tile is (expert, first entry,
// entries, 0); tiles left over have no entries.

struct Params {
    count: u32,
    experts: u32,
    max_tiles: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> choices: array<u32>;
@group(0) @binding(2) var<storage, read_write> entries: array<u32>;
@group(0) @binding(3) var<storage, read_write> tiles: array<vec4u>;

override WORKGROUP_SIZE: u32 = 256;
override TILE: u32 = 4;

const MAX_EXPERTS = 576u;

var<workgroup> counts: array<u32, MAX_EXPERTS>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(local_invocation_index) lane: u32) {
    for (var expert = lane; expert < params.experts; expert += WORKGROUP_SIZE) {
        var count = 0u;
        for (var i = 0u; i < params.count; i++) {
            count += u32(choices[i] == expert);
        }
        counts[expert] = count;
    }
    workgroupBarrier();

    for (var expert = lane; expert < params.experts; expert += WORKGROUP_SIZE) {
        var entry = 0u;
        var tile = 0u;
        for (var i = 0u; i < expert; i++) {
            entry += counts[i];
            tile += (counts[i] + TILE - 1) / TILE;
        }
        let end = entry + counts[expert];
        for (var first = entry; first < end; first += TILE) {
            tiles[tile] = vec4u(expert, first, min(TILE, end - first), 0);
            tile++;
        }
        for (var i = 0u; i < params.count && entry < end; i++) {
            if choices[i] == expert {
                entries[entry] = i;
                entry++;
            }
        }
    }
    var used = 0u;
    for (var i = 0u; i < params.experts; i++) {
        used += (counts[i] + TILE - 1) / TILE;
    }
    for (var tile = used + lane; tile < params.max_tiles; tile += WORKGROUP_SIZE) {
        tiles[tile] = vec4u();
    }
}
