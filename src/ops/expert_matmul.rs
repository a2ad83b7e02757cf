use bytemuck::{Pod, Zeroable};

use super::Groups;
use super::expert_matrix::expert_matrix;
use super::pad::pad_for_shards;
use crate::gpu::{Dispatch, Pass, Tensor, Weight};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    repeat: u32,
    outer: u32,
    first_column: u32,
    width: u32,
}

/// A product per expert over the tokens grouped under it, for many tokens; those with several weights stand
/// side by side.
///
/// `x: [tokens, inner]` or `[tokens, slots, inner]`, `weights: [experts, outer, inner]` each →
/// `[tokens, slots, sum of outer]`
#[track_caller]
pub fn expert_matmul(pass: &mut Pass, x: &Tensor, weights: &[&Weight], groups: &Groups) -> Tensor {
    let [tokens, slots] = groups.entries.dims();
    let columns = weights[0].columns;
    let repeat = match *x.shape() {
        [rows, inner] if rows == tokens && inner == columns => slots,
        [rows, each, inner] if [rows, each] == [tokens, slots] && inner == columns => 1,
        _ => panic!("{x:?} for {tokens} tokens in {slots} slots of {columns} columns"),
    };
    let width = weights.iter().map(|weight| weight.rows).sum();
    let y = pass.tensor(&[tokens, slots, width]);
    let mut first_column = 0;
    for weight in weights {
        assert_eq!(weight.columns, columns, "weights side by side");
        if let Some(unit) = groups.unit {
            expert_matrix(pass, (x, repeat), weight, groups, (&y, first_column), unit);
            first_column += weight.rows;
            continue;
        }
        let params = Params {
            repeat: repeat as u32,
            outer: weight.rows as u32,
            first_column: first_column as u32,
            width: width as u32,
        };
        launch(pass, x, weight, groups, &y, params);
        first_column += weight.rows;
    }
    y
}

fn launch(
    pass: &mut Pass,
    x: &Tensor,
    weight: &Weight,
    groups: &Groups,
    y: &Tensor,
    params: Params,
) {
    let [max_tiles, _] = groups.tiles.dims();
    let padded = pad_for_shards(pass, x, weight);
    for (shard, x) in weight.shards.iter().zip(&padded) {
        pass.dispatch(Dispatch {
            kernel: kernel!("expert_matmul"),
            constants: &groups.blocks.constants(),
            params,
            inputs: &[x, &groups.entries, &groups.tiles],
            weight: Some(shard),
            outputs: &[y],
            workgroups: [weight.rows.div_ceil(groups.blocks.rows), max_tiles, 1],
        });
    }
}
