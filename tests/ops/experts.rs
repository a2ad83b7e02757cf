//! Products with the weights of chosen experts, one token at a time and grouped.

use tiefsee::formats::{self, Format};
use tiefsee::gpu::{Gpu, Tensor, Weight};
use tiefsee::ops::{self, Input, Norm, Routes};

use crate::common::{
    assert_near, floats, layouts_with_formats, noise, open, run, run_f32, shuffled, stored, upload,
};
use crate::{EXPONENTIAL, ROUNDING, reference};

/// A choice of experts and the sizes of a product with their weights.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Slots of a token.
    pub(crate) slots: usize,
    /// Experts there are.
    pub(crate) experts: usize,
    /// Rows of an expert's weight.
    pub(crate) outer: usize,
    /// Columns of it.
    pub(crate) inner: usize,
    /// An expert per slot.
    pub(crate) choices: Vec<u32>,
}

impl Case {
    /// Every token chooses its own experts.
    pub(crate) fn new(
        tokens: usize,
        slots: usize,
        experts: usize,
        outer: usize,
        inner: usize,
    ) -> Self {
        let choices = (0..tokens as u64)
            .flat_map(|token| shuffled(experts, token).into_iter().take(slots))
            .collect();
        Self {
            slots,
            experts,
            outer,
            inner,
            choices,
        }
    }

    /// Every token chooses the same expert in its only slot.
    pub(crate) fn all_to(
        expert: u32,
        tokens: usize,
        experts: usize,
        outer: usize,
        inner: usize,
    ) -> Self {
        Self {
            slots: 1,
            experts,
            outer,
            inner,
            choices: vec![expert; tokens],
        }
    }

    fn tokens(&self) -> usize {
        self.choices.len() / self.slots
    }

    fn weight(&self) -> Vec<f32> {
        noise(self.experts * self.outer * self.inner, 60)
    }

    fn upload(&self, gpu: &Gpu, format: &'static Format) -> Weight {
        upload(
            gpu,
            format,
            [self.experts, self.outer, self.inner],
            &self.weight(),
        )
    }

    /// Weights above and below zero.
    fn shares(&self) -> Vec<f32> {
        noise(self.choices.len(), 61)
    }

    fn routes(&self, gpu: &Gpu) -> Routes {
        let dims = [self.tokens(), self.slots];
        Routes {
            choices: Tensor::upload(gpu, &dims, &self.choices),
            weights: Tensor::upload(gpu, &dims, &self.shares()),
        }
    }

    /// Each entry's row of `x` times its expert's weight: `[tokens, slots, outer]`.
    fn products(&self, format: &Format, x: &[f32]) -> Vec<f32> {
        let weight = stored(format, &self.weight(), self.inner);
        let rows = x.len() / self.inner;
        let product = |(entry, &expert): (usize, &u32)| {
            let row = &x[entry * rows / self.choices.len() * self.inner..][..self.inner];
            let size = self.outer * self.inner;
            reference::matmul(row, &weight[expert as usize * size..][..size], self.inner)
        };
        self.choices.iter().enumerate().flat_map(product).collect()
    }

    /// The [`products`](Self::products) as gates and what they let through: `[tokens, slots, outer / 2]`.
    fn gated(&self, format: &Format, x: &[f32]) -> Vec<f32> {
        let products = self.products(format, x);
        let halves = products
            .chunks(self.outer)
            .map(|row| row.split_at(self.outer / 2));
        let (gate, up): (Vec<&[f32]>, Vec<&[f32]>) = halves.unzip();
        reference::swiglu(&gate.concat(), &up.concat())
    }
}

fn cases() -> Vec<Case> {
    vec![
        Case::new(1, 1, 1, 2, 8),
        Case::new(1, 6, 18, 40, 80),
        Case::new(2, 4, 18, 66, 36),
        Case::new(3, 2, 5, 2, 100),
        Case::new(5, 3, 7, 130, 60),
        Case::new(29, 2, 18, 34, 36),
        Case::new(100, 3, 5, 68, 40),
        Case::all_to(4, 29, 5, 12, 36),
        Case::all_to(0, 4, 3, 6, 100),
    ]
}

#[test]
fn expert_gate_up() {
    for (gpu, format) in layouts_with_formats() {
        for case in cases() {
            check_expert_gate_up(&gpu, format, &case);
        }
    }
}

/// Each expert's rows are the gate, then the up projection.
pub(crate) fn check_expert_gate_up(gpu: &Gpu, format: &'static Format, case: &Case) {
    let (x, gain) = (noise(case.tokens() * case.inner, 62), noise(case.inner, 69));
    let normed = reference::rms_norm(&x, &gain, 1e-6);
    let mut input = Input::from(&Tensor::upload(gpu, &[case.tokens(), case.inner], &x));
    check_gated(gpu, format, case, &input, &x);
    input.norm = Some(Norm {
        gain: Tensor::upload(gpu, &[case.inner], &gain),
        epsilon: 1e-6,
    });
    check_gated(gpu, format, case, &input, &normed);
}

/// `rows` are what `input` stands for.
fn check_gated(gpu: &Gpu, format: &'static Format, case: &Case, input: &Input, rows: &[f32]) {
    let actual = run_f32(gpu, |pass| {
        let weight = case.upload(gpu, format);
        ops::expert_gate_up(pass, input, &weight, &case.routes(gpu))
    });
    let what = format!("{} {case:?}", format.name);
    assert_near(&actual, &case.gated(format, rows), EXPONENTIAL, &what);
}

#[test]
fn expert_gate_up_grouped() {
    for (gpu, format) in layouts_with_formats() {
        for case in cases() {
            check_expert_gate_up_grouped(&gpu, format, &case);
        }
    }
}

/// The same over the tokens grouped by expert.
pub(crate) fn check_expert_gate_up_grouped(gpu: &Gpu, format: &'static Format, case: &Case) {
    // Tiles for matrix units have products of their own, which check_expert_matrix knows.
    if gpu.tiers.matrix.is_some() && !gpu.tiers.software {
        return;
    }
    let x = noise(case.tokens() * case.inner, 62);
    let actual = run_f32(gpu, |pass| {
        let (weight, routes) = (case.upload(gpu, format), case.routes(gpu));
        let groups = ops::group_by_expert(pass, &routes.choices, case.experts);
        let x = Tensor::upload(gpu, &[case.tokens(), case.inner], &x);
        ops::expert_gate_up_grouped(pass, &x, &weight, &groups)
    });
    let what = format!("{} {case:?}", format.name);
    assert_near(&actual, &case.gated(format, &x), EXPONENTIAL, &what);
}

#[test]
fn expert_gate_up_with_gates_far_below_zero() {
    let gpu = open();
    let case = Case {
        slots: 1,
        experts: 1,
        outer: 2,
        inner: 8,
        choices: vec![0],
    };
    for magnitude in [1e2, 1e4, 1e20] {
        let results = run(&gpu, |pass| {
            let weight = [[-magnitude; 8], [1.0; 8]].concat();
            let weight = upload(&gpu, &formats::F32, [1, 2, 8], &weight);
            let x = Tensor::upload(&gpu, &[1, 8], &[1f32; 8]);
            let routes = case.routes(&gpu);
            let groups = ops::group_by_expert(pass, &routes.choices, 1);
            vec![
                ops::expert_gate_up(pass, &x, &weight, &routes),
                ops::expert_gate_up_grouped(pass, &x, &weight, &groups),
            ]
        });
        for actual in results.iter().map(|result| floats(result)) {
            // exp(-80) of the gate is all that is left.
            assert!(
                actual[0].abs() <= 1e-30 * magnitude,
                "{magnitude}: {actual:?}"
            );
        }
    }
}

#[test]
fn expert_down() {
    for (gpu, format) in layouts_with_formats() {
        for case in cases() {
            check_expert_down(&gpu, format, &case);
        }
    }
}

/// Every slot has its own row of `x`; the results of a token's slots are added.
pub(crate) fn check_expert_down(gpu: &Gpu, format: &'static Format, case: &Case) {
    let x = noise(case.choices.len() * case.inner, 63);
    let before = noise(case.tokens() * case.outer, 68);
    let actual = run_f32(gpu, |pass| {
        let weight = case.upload(gpu, format);
        let x = Tensor::upload(gpu, &[case.tokens(), case.slots, case.inner], &x);
        let sum = Tensor::upload(gpu, &[case.tokens(), case.outer], &before);
        ops::add_expert_down(pass, &x, &weight, &case.routes(gpu), &sum);
        sum
    });
    let products = case.products(format, &x);
    let combined = expected_combine(&products, &case.shares(), case.slots, case.outer);
    let expected = reference::add(&before, &combined);
    assert_near(
        &actual,
        &expected,
        ROUNDING,
        &format!("{} {case:?}", format.name),
    );
}

#[test]
fn expert_matmul() {
    for (gpu, format) in layouts_with_formats() {
        for case in cases() {
            check_expert_matmul(&gpu, format, &case);
        }
    }
}

/// Once with a row of `x` per token, once with one per slot.
pub(crate) fn check_expert_matmul(gpu: &Gpu, format: &'static Format, case: &Case) {
    let (tokens, slots, inner) = (case.tokens(), case.slots, case.inner);
    for shape in [&[tokens, inner][..], &[tokens, slots, inner]] {
        let x = noise(shape.iter().product(), 64);
        let actual = run_f32(gpu, |pass| {
            let weight = case.upload(gpu, format);
            let groups = ops::group_by_expert(pass, &case.routes(gpu).choices, case.experts);
            ops::expert_matmul(pass, &Tensor::upload(gpu, shape, &x), &[&weight], &groups)
        });
        let what = format!("{} {shape:?} {case:?}", format.name);
        assert_near(&actual, &case.products(format, &x), ROUNDING, &what);
    }
}

#[test]
fn products_of_two_weights_stand_side_by_side() {
    let gpu = open();
    let (one, other) = (&formats::Q8_0, &formats::Q4_0);
    for case in cases() {
        let x = noise(case.tokens() * case.inner, 67);
        let actual = run_f32(&gpu, |pass| {
            let weights = [case.upload(&gpu, one), case.upload(&gpu, other)];
            let groups = ops::group_by_expert(pass, &case.routes(&gpu).choices, case.experts);
            let x = Tensor::upload(&gpu, &[case.tokens(), case.inner], &x);
            ops::expert_matmul(pass, &x, &[&weights[0], &weights[1]], &groups)
        });
        let products = [case.products(one, &x), case.products(other, &x)];
        let rows = products[0]
            .chunks(case.outer)
            .zip(products[1].chunks(case.outer));
        let expected: Vec<f32> = rows.flat_map(|(a, b)| [a, b].concat()).collect();
        assert_near(&actual, &expected, ROUNDING, &format!("{case:?}"));
    }
}

#[test]
fn combine() {
    let gpu = open();
    for (tokens, slots, width) in [(1, 1, 1), (1, 8, 64), (29, 9, 80), (5, 6, 129)] {
        check_combine(&gpu, tokens, slots, width);
    }
}

fn check_combine(gpu: &Gpu, tokens: usize, slots: usize, width: usize) {
    let (x, weights) = (noise(tokens * slots * width, 65), noise(tokens * slots, 66));
    let before = noise(tokens * width, 68);
    let actual = run_f32(gpu, |pass| {
        let x = Tensor::upload(gpu, &[tokens, slots, width], &x);
        let weights = Tensor::upload(gpu, &[tokens, slots], &weights);
        let sum = Tensor::upload(gpu, &[tokens, width], &before);
        ops::add_combined(pass, &x, &weights, &sum);
        sum
    });
    let expected = reference::add(&before, &expected_combine(&x, &weights, slots, width));
    assert_near(
        &actual,
        &expected,
        ROUNDING,
        &format!("{tokens} x {slots} x {width}"),
    );
}

fn expected_combine(x: &[f32], weights: &[f32], slots: usize, width: usize) -> Vec<f32> {
    let token = |(x, weights): (&[f32], &[f32])| {
        // A product with the transpose of a token's outputs.
        let column = |column| x.iter().skip(column).step_by(width).copied();
        let columns: Vec<f32> = (0..width).flat_map(column).collect();
        reference::matmul(weights, &columns, slots)
    };
    x.chunks(slots * width)
        .zip(weights.chunks(slots))
        .flat_map(token)
        .collect()
}

#[test]
fn few_and_grouped_tokens_agree() {
    let gpu = open();
    let case = Case::new(7, 3, 9, 24, 40);
    let x = noise(7 * 3 * 40, 67);
    let both = |grouped: bool| {
        run_f32(&gpu, |pass| {
            let (weight, routes) = (case.upload(&gpu, &formats::Q4_0), case.routes(&gpu));
            let x = Tensor::upload(&gpu, &[7, 3, 40], &x);
            let sum = Tensor::upload(&gpu, &[7, 24], &noise(7 * 24, 68));
            if !grouped {
                ops::add_expert_down(pass, &x, &weight, &routes, &sum);
                return sum;
            }
            let groups = ops::group_by_expert(pass, &routes.choices, 9);
            let outputs = ops::expert_matmul(pass, &x, &[&weight], &groups);
            ops::add_combined(pass, &outputs, &routes.weights, &sum);
            sum
        })
    };
    assert_near(&both(true), &both(false), ROUNDING, "grouped and not");
}
