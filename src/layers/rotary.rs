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

/// Llama 3.1's interpolation: high frequencies stay, low ones are divided, those between are blended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Llama3 {
    /// What low frequencies are divided by.
    pub factor: f64,
    /// Turns over the original context below which a frequency is low.
    pub low_turns: f64,
    /// Turns above which it is high.
    pub high_turns: f64,
    /// The context the model was first trained for, in tokens.
    pub original_context: f64,
}

impl Llama3 {
    fn interpolate(&self, frequency: f64) -> f64 {
        let turns = self.original_context * frequency / std::f64::consts::TAU;
        let kept = (turns - self.low_turns) / (self.high_turns - self.low_turns);
        let kept = kept.clamp(0.0, 1.0);
        frequency * ((1.0 - kept) / self.factor + kept)
    }
}

/// How frequencies are changed for contexts longer than a model was first trained for.
#[derive(Clone, Debug, PartialEq)]
pub enum Scaling {
    /// Not at all.
    None,
    /// DeepSeek and R1-0528-Qwen3.
    Yarn(Yarn),
    /// Llama 3.1 and R1-Distill-Llama.
    Llama3(Llama3),
    /// Each by a number of its own, as GGUF files of such models state them.
    Divisors(Vec<f64>),
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
    pub fn new(columns: usize, theta: f64, scaling: &Scaling, magnitude: f64) -> Self {
        let frequency = |pair: usize| theta.powf(-2.0 * pair as f64 / columns as f64);
        let mut frequencies: Vec<_> = (0..columns / 2).map(frequency).collect();
        match scaling {
            Scaling::None => {}
            Scaling::Yarn(yarn) => yarn.interpolate(&mut frequencies, theta),
            Scaling::Llama3(llama3) => {
                for frequency in &mut frequencies {
                    *frequency = llama3.interpolate(*frequency);
                }
            }
            Scaling::Divisors(divisors) => {
                for (frequency, divisor) in frequencies.iter_mut().zip(divisors) {
                    *frequency /= divisor;
                }
            }
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
        let rotary = Rotary::new(64, 10_000.0, &Scaling::Yarn(yarn), 1.0);
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

    #[test]
    fn qwen3_is_stretched_as_published() {
        // R1-0528-Qwen3-8B: 128 columns, base 1e6, stretched 4 times from 32768.
        let yarn = Yarn {
            factor: 4.0,
            original_context: 32_768.0,
            beta_fast: 32.0,
            beta_slow: 1.0,
        };
        let rotary = Rotary::new(128, 1e6, &Scaling::Yarn(yarn), 1.0);
        let expected = [
            (24, 5.375_321_491e-3),
            (32, 6.029_411_765e-4),
            (40, 4.445_698_525e-5),
        ];
        for (pair, frequency) in expected {
            assert!(
                (rotary.frequencies[pair] / frequency - 1.0).abs() < 1e-9,
                "pair {pair}"
            );
        }
    }

    #[test]
    fn llama3_keeps_high_frequencies_and_divides_low_ones() {
        let llama3 = Llama3 {
            factor: 8.0,
            low_turns: 1.0,
            high_turns: 4.0,
            original_context: 8192.0,
        };
        let turning = |turns: f64| turns * std::f64::consts::TAU / 8192.0;
        let is = |turns: f64, factor: f64| {
            (llama3.interpolate(turning(turns)) / turning(turns) / factor - 1.0).abs() < 1e-12
        };
        assert!(is(5.0, 1.0) && is(0.5, 1.0 / 8.0));
        // Half way between 1 and 4 turns: the mean of both.
        assert!(is(2.5, f64::midpoint(1.0, 1.0 / 8.0)));
        // The published checkpoints state the same as divisors.
        let scaled = Rotary::new(128, 5e5, &Scaling::Llama3(llama3), 1.0);
        let plain = Rotary::new(128, 5e5, &Scaling::None, 1.0);
        let divisors = plain.frequencies.iter().zip(&scaled.frequencies);
        let divisors = divisors.map(|(plain, scaled)| plain / scaled).collect();
        let again = Rotary::new(128, 5e5, &Scaling::Divisors(divisors), 1.0);
        let close = |(a, b): (&f64, &f64)| (a / b - 1.0).abs() < 1e-12;
        assert!(again.frequencies.iter().zip(&scaled.frequencies).all(close));
    }
}
