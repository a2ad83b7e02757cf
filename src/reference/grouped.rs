//! Attention in which groups of query heads share a head of keys and one of values.

use super::attention::weighted_values;
use super::{Real, add, rms_norm, rope_halves, rope_interleaved};

/// The sizes of grouped attention.
#[derive(Clone, Copy, Debug)]
pub struct GroupedShape {
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys, and as many of values; they divide `heads`.
    pub kv_heads: usize,
    /// Columns of a head.
    pub head_dim: usize,
}

impl GroupedShape {
    /// Columns of a row of the cache: keys, then values.
    pub fn row(&self) -> usize {
        2 * self.kv_heads * self.head_dim
    }
}

/// How the heads of a joined projection are made ready.
#[derive(Clone, Copy, Debug)]
pub struct HeadRule<'a, R> {
    /// `[(heads + 2 * kv_heads) * head_dim]`
    pub bias: Option<&'a [R]>,
    /// Gains of queries and keys, `[head_dim]` each, and what is added to mean squares.
    pub norms: Option<(&'a [R], &'a [R], f64)>,
    /// The first column of a head that turns.
    pub offset: usize,
    /// Radians per position of each pair of columns.
    pub frequencies: &'a [f64],
    /// Whether pairs are half the columns apart, and not neighbours.
    pub half_split: bool,
}

/// Queries, and rows of keys and values:
/// `x: [tokens, (heads + 2 * kv_heads) * head_dim]` → `[tokens, heads, head_dim]`, `[tokens, 2, kv_heads, head_dim]`.
pub fn joined_heads<R: Real>(
    x: &[R],
    positions: &[u32],
    shape: GroupedShape,
    rule: &HeadRule<R>,
) -> (Vec<R>, Vec<R>) {
    let GroupedShape {
        heads, head_dim, ..
    } = shape;
    let row = heads * head_dim + shape.row();
    assert_eq!(x.len(), positions.len() * row);
    let (mut queries, mut rows) = (Vec::new(), Vec::new());
    for (x, &position) in x.chunks(row).zip(positions) {
        let x = rule.bias.map_or_else(|| x.to_vec(), |bias| add(x, bias));
        let (q, rest) = x.split_at(heads * head_dim);
        let (k, v) = rest.split_at(rest.len() / 2);
        let gains = rule
            .norms
            .map(|(q, k, epsilon)| ((q, epsilon), (k, epsilon)));
        let (q_norm, k_norm) = gains.unzip();
        queries.extend(ready(q, q_norm, position, head_dim, rule));
        rows.extend(ready(k, k_norm, position, head_dim, rule));
        rows.extend_from_slice(v);
    }
    (queries, rows)
}

/// One token's queries or keys, normalised and rotated.
fn ready<R: Real>(
    x: &[R],
    norm: Option<(&[R], f64)>,
    position: u32,
    head_dim: usize,
    rule: &HeadRule<R>,
) -> Vec<R> {
    let mut ready = norm.map_or_else(|| x.to_vec(), |(gain, epsilon)| rms_norm(x, gain, epsilon));
    let rotate = if rule.half_split {
        rope_halves
    } else {
        rope_interleaved
    };
    for head in ready.chunks_mut(head_dim) {
        let turning = &mut head[rule.offset..][..2 * rule.frequencies.len()];
        let turned = rotate(turning, &[position], rule.frequencies);
        turning.copy_from_slice(&turned);
    }
    ready
}

/// Attention over rows of [`joined_heads`]; a token that sees no row gets zeros.
///
/// `q: [tokens, heads, head_dim]`, `cache: [rows, 2, kv_heads, head_dim]`, `visible`: the cache rows of
/// each token → `[tokens, heads, head_dim]`.
pub fn grouped_attention<R: Real>(
    q: &[R],
    cache: &[R],
    visible: &[Vec<usize>],
    shape: GroupedShape,
    scale: f64,
) -> Vec<R> {
    let GroupedShape {
        heads,
        kv_heads,
        head_dim,
    } = shape;
    assert_eq!(heads % kv_heads, 0);
    assert_eq!(q.len(), visible.len() * heads * head_dim);
    let attend = |(index, query): (usize, &[R])| {
        let kv_head = index % heads / (heads / kv_heads);
        let pair = |&row: &usize| {
            let head = |head: usize| &cache[row * shape.row() + head * head_dim..][..head_dim];
            (head(kv_head), head(kv_heads + kv_head))
        };
        let pairs: Vec<_> = visible[index / heads].iter().map(pair).collect();
        weighted_values(query, &pairs, head_dim, scale)
    };
    q.chunks(head_dim).enumerate().flat_map(attend).collect()
}
