//! Rotary embedding: the angle per position of every pair of columns.

/// YaRN's interpolation of frequencies (arXiv 2309.00071).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Yarn {
    /// How many times the original context the model is stretched to.
    pub factor: f64,
    /// The context the model was first trained for, in tokens.
    pub original_context: f64,
    /// Rotations over that context above which a frequency stays as it is.
    pub beta_fast: f64,
    /// Rotations below which a frequency is divided by `factor`.
    pub beta_slow: f64,
}

impl Yarn {
    /// DeepSeek's `0.1 * weight * ln(factor) + 1`, which softens attention over a long context.
    #[must_use]
    pub fn magnitude(&self, weight: f64) -> f64 {
        if self.factor <= 1.0 {
            1.0
        } else {
            0.1 * weight * self.factor.ln() + 1.0
        }
    }

    fn interpolate(&self, frequencies: &mut [f64], theta: f64) {
        let columns = 2.0 * frequencies.len() as f64;
        // The pair that turns `rotations` times over the original context.
        let pair = |rotations: f64| {
            columns * (self.original_context / (rotations * std::f64::consts::TAU)).ln()
                / (2.0 * theta.ln())
        };
        let low = pair(self.beta_fast).floor().max(0.0);
        // The bound is the last column, not the last pair, in DeepSeek's code too.
        let high = pair(self.beta_slow).ceil().min(columns - 1.0);
        let high = if high <= low { low + 0.001 } else { high };
        for (index, frequency) in frequencies.iter_mut().enumerate() {
            let ramp = ((index as f64 - low) / (high - low)).clamp(0.0, 1.0);
            *frequency *= ramp / self.factor + 1.0 - ramp;
        }
    }
}

/// The frequencies of a model's rotary columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotary {
    /// Radians per position, one per pair of columns.
    pub frequencies: Vec<f64>,
    /// What cosine and sine are multiplied with; 1 in every DeepSeek model.
    pub magnitude: f64,
}

impl Rotary {
    /// The frequencies of `columns` rotary columns with base `theta`.
    #[must_use]
    pub fn new(columns: usize, theta: f64, yarn: Option<&Yarn>, magnitude: f64) -> Self {
        let frequency = |pair: usize| theta.powf(-2.0 * pair as f64 / columns as f64);
        let mut frequencies: Vec<_> = (0..columns / 2).map(frequency).collect();
        if let Some(yarn) = yarn {
            yarn.interpolate(&mut frequencies, theta);
        }
        Self {
            frequencies,
            magnitude,
        }
    }

    /// Cosine and sine of each pair's angle at `position`.
    ///
    /// Made on the host: a shader's cosine of a large angle is far off, and f32 already
    /// loses digits of the angle itself.
    pub fn rotations(&self, position: usize) -> impl Iterator<Item = [f32; 2]> {
        self.frequencies.iter().map(move |frequency| {
            let (sine, cosine) = libm::sincos(position as f64 * frequency);
            [
                (cosine * self.magnitude) as f32,
                (sine * self.magnitude) as f32,
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yarn_matches_the_published_values() {
        // DeepSeek-V3: 64 columns, base 10000, stretched 40 times from 4096.
        let yarn = Yarn {
            factor: 40.0,
            original_context: 4096.0,
            beta_fast: 32.0,
            beta_slow: 1.0,
        };
        let rotary = Rotary::new(64, 10_000.0, Some(&yarn), 1.0);
        let expected = [
            (0, 1.0),
            (10, 5.623_413_252e-2),
            (11, 3.900_692_657e-2),
            (16, 5.5e-3),
            (22, 1.778_279_41e-4),
        ];
        for (pair, frequency) in expected {
            assert!(
                (rotary.frequencies[pair] / frequency - 1.0).abs() < 1e-9,
                "pair {pair}"
            );
        }
        assert!((yarn.magnitude(1.0) - 1.368_887_945_4).abs() < 1e-9);
        assert!((yarn.magnitude(0.707) - 1.260_803_777_4).abs() < 1e-9);
        // At position 4096.
        let [cosine, sine] = rotary.rotations(4096).nth(11).unwrap();
        assert!((cosine + 0.900_944_1).abs() < 1e-5 && (sine - 0.433_935_1).abs() < 1e-5);
    }
}
