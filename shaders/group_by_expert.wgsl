// entries = the (token, slot) pairs in order of their expert; tiles = runs of up to TILE entries of one expert.
//
//   choices  [tokens, slots]
//   entries  [tokens, slots]
//   tiles    [max_tiles, 4]
//
// A workgroup per expert. All of them count everybody's entries, to know where their own
// belong; a lane then lists those of its part of `choices`, so that their order is always the
// same. An entry is token * slots + slot. A tile is (expert, first entry, entries, 0); tiles
// left over have no entries.

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
override TILE: u32 = 32;

const MAX_EXPERTS = 576u;

// Entries of every expert.
var<workgroup> counts: array<atomic<u32>, MAX_EXPERTS>;
// Entries of the workgroup's expert in each lane's part.
var<workgroup> parts: array<u32, WORKGROUP_SIZE>;

fn tiles_of(count: u32) -> u32 {
    return (count + TILE - 1) / TILE;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let expert = workgroup.x;
    for (var i = lane; i < params.experts; i += WORKGROUP_SIZE) {
        atomicStore(&counts[i], 0u);
    }
    workgroupBarrier();
    let part = (params.count + WORKGROUP_SIZE - 1) / WORKGROUP_SIZE;
    let start = min(lane * part, params.count);
    let end = min(start + part, params.count);
    var own = 0u;
    for (var i = start; i < end; i++) {
        let choice = choices[i];
        atomicAdd(&counts[choice], 1u);
        own += u32(choice == expert);
    }
    parts[lane] = own;
    workgroupBarrier();

    var first_entry = 0u;
    var first_tile = 0u;
    for (var i = 0u; i < expert; i++) {
        let count = atomicLoad(&counts[i]);
        first_entry += count;
        first_tile += tiles_of(count);
    }
    let count = atomicLoad(&counts[expert]);
    for (var i = lane; i < tiles_of(count); i += WORKGROUP_SIZE) {
        let entry = first_entry + i * TILE;
        tiles[first_tile + i] = vec4u(expert, entry, min(TILE, count - i * TILE), 0);
    }
    if expert == params.experts - 1 {
        let used = first_tile + tiles_of(count);
        for (var i = used + lane; i < params.max_tiles; i += WORKGROUP_SIZE) {
            tiles[i] = vec4u();
        }
    }
    var entry = first_entry;
    for (var i = 0u; i < lane; i++) {
        entry += parts[i];
    }
    for (var i = start; i < end; i++) {
        if choices[i] == expert {
            entries[entry] = i;
            entry++;
        }
    }
}
