//! Matrix units: small square matrices that the lanes of a subgroup multiply together.

use wgpu::CooperativeScalarType::{self, F16, F32};

macro_rules! file {
    ($name:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/shaders/matrix/",
            $name,
            ".wgsl"
        ))
    };
}

/// A kind of matrix unit that kernels are written for; all of them add up in f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatrixUnit {
    /// 8 x 8, operands in f32.
    F32x8,
    /// 16 x 16, operands in f16.
    F16x16,
    /// 8 x 8, operands in f16.
    F16x8,
}

impl MatrixUnit {
    /// Every kind, the best first: those that need one product for a product of numbers, then large ones.
    pub const ALL: [Self; 3] = [Self::F32x8, Self::F16x16, Self::F16x8];

    /// Its name, as `doctor` prints it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32x8 => "8 x 8 of f32",
            Self::F16x16 => "16 x 16 of f16",
            Self::F16x8 => "8 x 8 of f16",
        }
    }

    /// Defines `UnitValue` and what goes with it: the whole contract with the kernels.
    pub fn wgsl(self) -> &'static str {
        match self {
            Self::F32x8 => file!("f32_8"),
            Self::F16x16 => file!("f16_16"),
            Self::F16x8 => file!("f16_8"),
        }
    }

    /// Rows, and columns, of an operand.
    pub fn size(self) -> usize {
        match self {
            Self::F32x8 | Self::F16x8 => 8,
            Self::F16x16 => 16,
        }
    }

    /// Whether operands are f16: two of them are then one number.
    pub fn is_f16(self) -> bool {
        self != Self::F32x8
    }

    fn operand(self) -> CooperativeScalarType {
        if self.is_f16() { F16 } else { F32 }
    }

    /// The kinds that an adapter has, the best first.
    pub(super) fn of(adapter: &wgpu::Adapter) -> impl Iterator<Item = Self> {
        let offered = adapter.cooperative_matrix_properties();
        Self::ALL.into_iter().filter(move |unit| {
            let size = unit.size() as u32;
            offered.iter().any(|shape| {
                [shape.m_size, shape.n_size, shape.k_size] == [size; 3]
                    && shape.ab_type == unit.operand()
                    && shape.cr_type == F32
            })
        })
    }
}
