//! Rows of values, cut and put together.

/// Each token sees itself and those before it.
pub(crate) fn causal(tokens: usize) -> Vec<Vec<usize>> {
    (0..tokens).map(|token| (0..=token).collect()).collect()
}

/// Rows of `left + right` values as two lists of rows.
pub(crate) fn split(rows: &[f64], left: usize, right: usize) -> (Vec<f64>, Vec<f64>) {
    let rows = rows.chunks(left + right).map(|row| row.split_at(left));
    let (left, right): (Vec<&[f64]>, Vec<&[f64]>) = rows.unzip();
    (left.concat(), right.concat())
}

/// Two lists of rows as one of rows of `left_width + right_width` values.
pub(crate) fn join(left: &[f64], left_width: usize, right: &[f64], right_width: usize) -> Vec<f64> {
    let rows = left.chunks(left_width).zip(right.chunks(right_width));
    rows.flat_map(|(left, right)| [left, right].concat())
        .collect()
}
