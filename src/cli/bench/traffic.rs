//! What a launch reads, writes and computes, counted from its shapes.
//!
//! Weights and rows of the cache count as often as the kernel's workgroups go through them, since they come
//! from memory; activations count once, since they are small and stay in the device's caches.

use std::ops::{AddAssign, Range};

use tiefsee::gpu::{WeightPart, Work};

/// Bytes of f32 and u32.
const VALUE: u64 = 4;

/// What a launch, or several, read, write and compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    /// Bytes that are read.
    pub(super) read: u64,
    /// Bytes that are written.
    pub(super) written: u64,
    /// Bytes that must be read and written: everything that is needed, once.
    pub(super) least: u64,
    /// Additions and multiplications of products and attention; one per value read for all else.
    pub(super) operations: u64,
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.read += other.read;
        self.written += other.written;
        self.least += other.least;
        self.operations += other.operations;
    }
}

/// The traffic of a launch in a step of one sequence's tokens at `positions`.
///
/// A kernel that does as its kind does, by the first words of its name, needs no line here.
pub(super) fn traffic(work: &Work, positions: &Range<usize>) -> Traffic {
    let name = work.kernel;
    match &work.weight {
        Some(part) if name.starts_with("embedding") => rows_of_table(work, part),
        Some(part) if name.starts_with("expert") => experts(work, part),
        Some(part) => product(work, part),
        None if name.contains("attention") => attention(work, positions),
        None if name.starts_with("index_scores") => index(work, positions),
        None if name.starts_with("store") || name.starts_with("pack_rows") => stored(work),
        None if name.starts_with("gather") => once(2 * bytes(&work.outputs), &work.outputs),
        None => once(bytes(&work.inputs), &work.outputs),
    }
}

fn bytes(shapes: &[Vec<usize>]) -> u64 {
    shapes.iter().map(|shape| VALUE * count(shape)).sum()
}

fn count(shape: &[usize]) -> u64 {
    shape.iter().product::<usize>() as u64
}

/// Everything once, and an operation per value read.
fn once(read: u64, outputs: &[Vec<usize>]) -> Traffic {
    let written = bytes(outputs);
    Traffic {
        read,
        written,
        least: read + written,
        operations: read / VALUE,
    }
}

/// What activations add to a launch that reads weights or a cache. What stands in for a gain is not read, and
/// a sum that is added to is.
fn beside(work: &Work, own: Traffic) -> Traffic {
    let says = |name, value| work.constants.contains(&(name, value));
    let written = bytes(&work.outputs);
    let stand_in = says("NORMED", 0).then(|| bytes(&work.inputs[1..2]));
    let sum = says("ADDED", 1).then_some(written);
    let read = bytes(&work.inputs) - stand_in.unwrap_or(0) + sum.unwrap_or(0);
    Traffic {
        read: own.read + read,
        written,
        least: own.least + read + written,
        operations: own.operations,
    }
}

fn rows_of_table(work: &Work, part: &WeightPart) -> Traffic {
    let ids = work.inputs[0][0] as u64;
    let rows = ids * part.bytes / part.rows as u64;
    once(bytes(&work.inputs) + rows, &work.outputs)
}

/// A matrix goes past as often as the grid has rows of workgroups; those of heads are side by side.
fn product(work: &Work, part: &WeightPart) -> Traffic {
    let [x, y, z] = work.workgroups.map(u64::from);
    let times = match work.kernel {
        "matmul_matrix" => x,
        _ if part.matrices > 1 => z,
        _ => y * z,
    };
    let rows = work.inputs[0][0] as u64;
    let own = Traffic {
        read: times * part.bytes,
        least: part.bytes,
        operations: 2 * rows * part.values(),
        written: 0,
    };
    beside(work, own)
}

/// Of the matrices only those that tokens go to. Tokens of a prompt may meet in an expert: then it is known
/// only on the device how many are read, and what is counted is the most, as it is with a table of tiles.
fn experts(work: &Work, part: &WeightPart) -> Traffic {
    let share = part.rows as f64 / part.total_rows as f64;
    // An expert per slot of each token, or tiles of entries that share one.
    let (entries, times) = match work.kernel {
        "expert_gate_up" => (count(&work.inputs[2]), count(&work.inputs[2])),
        "expert_down" => (count(&work.inputs[1]), count(&work.inputs[1])),
        // With each entry its scale.
        "expert_matrix" => (work.inputs[1][0] as u64, work.inputs[2][0] as u64),
        _ => (count(&work.inputs[1]), work.inputs[2][0] as u64),
    };
    let (entries, times) = (entries as f64 * share, times as f64 * share);
    let matrix = part.bytes as f64 / part.matrices as f64;
    let values = part.values() as f64 / part.matrices as f64;
    let own = Traffic {
        read: (times * matrix) as u64,
        least: (entries.min(part.matrices as f64) * matrix) as u64,
        operations: (2.0 * entries * values) as u64,
        written: 0,
    };
    beside(work, own)
}

/// Keys that tokens see, all together, and those that any of them sees, where one token sees `most` at most.
fn keys(positions: &Range<usize>, most: usize) -> [u64; 2] {
    let all = positions
        .clone()
        .map(|position| most.min(position + 1) as u64);
    let distinct = positions.end.min(most * positions.len());
    [all.sum(), distinct as u64]
}

/// The most keys that the table of blocks, the last input, has for a token.
fn most_keys(work: &Work) -> usize {
    let block = work.constants.iter().find(|(name, _)| *name == "BLOCK");
    let blocks = work.inputs.last().and_then(|table| table.last());
    block.map_or(1, |(_, block)| *block as usize) * blocks.copied().unwrap_or(0)
}

/// Rows of the cache go past once for each group of heads, of each token or tile of tokens.
fn attention(work: &Work, positions: &Range<usize>) -> Traffic {
    let (q, cache) = (&work.inputs[0], &work.inputs[1]);
    let [groups, _, tiles] = work.workgroups.map(u64::from);
    let [all, distinct] = keys(positions, most_keys(work));
    let row = VALUE * cache[1] as u64;
    let (heads, width) = (q[1] as u64, q[2] as u64);
    let value = *work.outputs[0].last().expect("columns") as u64;
    // A workgroup reads the columns of its own head of keys and values.
    let kv_heads = if work.kernel.starts_with("grouped") {
        kv_heads(work)
    } else {
        1
    };
    let tokens = q[0] as u64;
    let (read, written) = (VALUE * count(q), bytes(&work.outputs));
    Traffic {
        read: read + all * row * groups * tiles / (kv_heads * tokens),
        written,
        least: read + written + distinct * row,
        operations: 2 * all * heads * (width + value),
    }
}

/// Heads of keys in a row of the cache, and as many of values.
fn kv_heads(work: &Work) -> u64 {
    let (heads, width) = (work.inputs[0][1], work.inputs[0][2]);
    let kind = work.cache.unwrap_or_default();
    let fits = |count: &usize| kind.row_words(2 * count * width) == work.inputs[1][1];
    (1..=heads).find(fits).unwrap_or(1) as u64
}

fn index(work: &Work, positions: &Range<usize>) -> Traffic {
    let (q, cache, y) = (&work.inputs[0], &work.inputs[2], &work.outputs[0]);
    let [all, distinct] = keys(positions, most_keys(work));
    // A launch may be for some of the tokens only.
    let all = all * y[0] as u64 / q[0] as u64;
    let row = VALUE * cache[1] as u64;
    let (read, written) = (VALUE * count(q), VALUE * all);
    Traffic {
        read: read + all * row,
        written,
        least: read + written + distinct * row,
        operations: 2 * all * q[1] as u64 * q[2] as u64,
    }
}

/// Of the cache only the tokens' rows are written.
fn stored(work: &Work) -> Traffic {
    let tokens = work.inputs[0][0];
    let rows = |shape: &Vec<usize>| {
        let mut shape = shape.clone();
        shape[0] = shape[0].min(tokens);
        shape
    };
    let outputs: Vec<_> = work.outputs.iter().map(rows).collect();
    once(bytes(&work.inputs), &outputs)
}

#[cfg(test)]
mod tests {
    use tiefsee::formats::{F32, Q8_0};
    use tiefsee::gpu::cache;

    use super::*;

    fn work(kernel: &'static str, inputs: &[&[usize]], outputs: &[&[usize]]) -> Work {
        let shapes = |shapes: &[&[usize]]| shapes.iter().map(|shape| shape.to_vec()).collect();
        Work {
            kernel,
            constants: vec![("BLOCK", 32)],
            cache: None,
            inputs: shapes(inputs),
            weight: None,
            outputs: shapes(outputs),
            workgroups: [1, 1, 1],
        }
    }

    #[test]
    fn only_chosen_experts_are_read() {
        // 16 experts of 8 x 64, of which 4 slots choose; then half of them in a shard.
        let mut work = work("expert_down", &[&[1, 4, 64], &[1, 4]], &[&[1, 8]]);
        let matrix = 4 * 8 * 64;
        let activations = 4 * (4 * 64 + 4);
        for (matrices, chosen) in [(16, 4), (8, 2)] {
            work.weight = Some(WeightPart {
                format: &F32,
                rows: 8 * matrices,
                total_rows: 8 * 16,
                matrices,
                bytes: matrix * matrices as u64,
            });
            let traffic = traffic(&work, &(0..1));
            assert_eq!(traffic.read, chosen * matrix + activations);
            assert_eq!(traffic.written, 4 * 8);
            assert_eq!(traffic.least, traffic.read + traffic.written);
            assert_eq!(traffic.operations, 2 * chosen * 8 * 64);
        }
    }

    #[test]
    fn products_read_their_weight_as_often_as_the_grid_says() {
        let mut work = work("matmul_blocked", &[&[10, 64]], &[&[10, 32]]);
        work.workgroups = [1, 3, 1];
        work.weight = Some(WeightPart {
            format: &Q8_0,
            rows: 32,
            total_rows: 32,
            matrices: 1,
            bytes: 32 * 68,
        });
        let activations = 4 * 10 * 64;
        let traffic = traffic(&work, &(0..10));
        assert_eq!(traffic.read, 3 * 32 * 68 + activations);
        assert_eq!(traffic.least, 32 * 68 + activations + 4 * 10 * 32);
        assert_eq!(traffic.operations, 2 * 10 * 32 * 64);
    }

    #[test]
    fn sums_are_read_and_stand_ins_are_not() {
        let mut work = work("matmul", &[&[1, 64], &[1, 64]], &[&[1, 8]]);
        work.weight = Some(WeightPart {
            format: &F32,
            rows: 8,
            total_rows: 8,
            matrices: 1,
            bytes: 4 * 8 * 64,
        });
        let matrix = 4 * 8 * 64;
        for (normed, added, activations) in [(0, 0, 64), (1, 0, 64 + 64), (0, 1, 64 + 8)] {
            work.constants = vec![("NORMED", normed), ("ADDED", added)];
            let traffic = traffic(&work, &(0..1));
            assert_eq!(traffic.read, matrix + 4 * activations);
            assert_eq!(traffic.least, traffic.read + 4 * 8);
        }
    }

    #[test]
    fn heads_that_do_not_share_a_row_read_it_again() {
        let (q, z): (&[usize], &[usize]) = (&[1, 8, 40], &[1, 4, 8, 32]);
        let mut latent = work(
            "latent_attention",
            &[q, &[64, 40], &[1], &[1], &[1, 2]],
            &[z],
        );
        latent.workgroups = [2, 4, 1];
        let traffic = traffic(&latent, &(49..50));
        let cache = 50 * 4 * 40;
        assert_eq!(traffic.read, 4 * 8 * 40 + 2 * cache);
        assert_eq!(traffic.least, 4 * 8 * 40 + cache + traffic.written);
        assert_eq!(traffic.operations, 2 * 50 * 8 * (40 + 32));
    }

    #[test]
    fn groups_read_their_own_columns() {
        // Two heads of keys and values for eight heads: four workgroups, two of each group, packed and not.
        for (kind, words) in [(&cache::F32, 2 * 2 * 32), (&cache::F16, 2 * 32)] {
            let (q, z): (&[usize], &[usize]) = (&[1, 16, 32], &[1, 4, 16, 32]);
            let table: &[usize] = &[1, 2];
            let mut grouped = work(
                "grouped_attention",
                &[q, &[64, words], &[1], &[1], table],
                &[z],
            );
            grouped.cache = Some(kind);
            grouped.workgroups = [4, 4, 1];
            let traffic = traffic(&grouped, &(9..10));
            assert_eq!(traffic.read, 4 * 16 * 32 + 2 * 10 * 4 * words as u64);
        }
    }

    #[test]
    fn tokens_see_what_is_before_them() {
        assert_eq!(keys(&(2..4), 100), [3 + 4, 4]);
        // No more than were chosen for them.
        assert_eq!(keys(&(2..4), 3), [3 + 3, 4]);
        assert_eq!(keys(&(10..11), 3), [3, 3]);
    }

    #[test]
    fn of_the_cache_only_new_rows_are_written() {
        let store = work("store_latent", &[&[3, 48]], &[&[4096, 40]]);
        assert_eq!(traffic(&store, &(0..3)).written, 4 * 3 * 40);
        let gather = work("gather", &[&[100, 8], &[2]], &[&[2, 8]]);
        assert_eq!(traffic(&gather, &(0..100)).written, 4 * 2 * 8);
    }
}
