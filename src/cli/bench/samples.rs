//! What is said of a number that was measured several times.

/// The middle one, the lower of two.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted[(sorted.len() - 1) / 2]
}

/// The mean.
pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The sample's standard deviation; 0 for a single value.
pub(super) fn deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (values.len() - 1).max(1) as f64).sqrt()
}

/// How far the ratio of two samples may be from its true value, as a share of it, with a confidence of 95 %;
/// nothing if a sample has a single value, or one that has no logarithm.
///
/// Welch's interval (Biometrika 34, 1947) for the difference of the logarithms' means: it is the same whichever
/// is divided by the other.
pub(super) fn noise_of_ratio(a: &[f64], b: &[f64]) -> Option<f64> {
    let all = || a.iter().chain(b);
    if a.len() < 2 || b.len() < 2 || all().any(|&value| value <= 0.0) {
        return None;
    }
    let variance = |values: &[f64]| {
        let logarithms: Vec<f64> = values.iter().map(|value| value.ln()).collect();
        deviation(&logarithms).powi(2) / values.len() as f64
    };
    let (of_a, of_b) = (variance(a), variance(b));
    if of_a + of_b == 0.0 {
        return Some(0.0);
    }
    let freedom = |variance: f64, count: usize| variance.powi(2) / (count - 1) as f64;
    let freedom = (of_a + of_b).powi(2) / (freedom(of_a, a.len()) + freedom(of_b, b.len()));
    Some((student(freedom) * (of_a + of_b).sqrt()).exp() - 1.0)
}

/// Student's t for 95 % on both sides, of the next lower number of degrees of freedom in the table.
fn student(freedom: f64) -> f64 {
    const TABLE: [(f64, f64); 14] = [
        (1.0, 12.706),
        (2.0, 4.303),
        (3.0, 3.182),
        (4.0, 2.776),
        (5.0, 2.571),
        (6.0, 2.447),
        (7.0, 2.365),
        (8.0, 2.306),
        (10.0, 2.228),
        (12.0, 2.179),
        (16.0, 2.120),
        (24.0, 2.064),
        (48.0, 2.011),
        (100.0, 1.984),
    ];
    let below = TABLE.iter().rev().find(|(known, _)| *known <= freedom);
    below.unwrap_or(&TABLE[0]).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_that_of_both_samples() {
        assert_eq!(noise_of_ratio(&[1.0], &[1.0, 2.0]), None);
        assert_eq!(noise_of_ratio(&[1.0, 0.0], &[1.0, 2.0]), None);
        assert_eq!(noise_of_ratio(&[2.0, 2.0], &[3.0, 3.0]), Some(0.0));
        // Logarithms with deviations of 0.01 and 0.01: 8 degrees of freedom.
        let sample = [-1.0, -1.0, 0.0, 1.0, 1.0].map(|value| f64::exp(0.01 * value));
        let noise = noise_of_ratio(&sample, &sample.map(|value| 50.0 * value)).expect("noise");
        assert!((noise - ((2.306 * (2e-4f64 / 5.0).sqrt()).exp() - 1.0)).abs() < 1e-9);
        // A quiet sample leaves the noise of the other, with fewer degrees.
        let quiet = noise_of_ratio(&sample, &[50.0; 5]).expect("noise");
        assert!((quiet - ((2.776 * (1e-4f64 / 5.0).sqrt()).exp() - 1.0)).abs() < 1e-9);
    }

    #[test]
    fn middles_and_spreads() {
        let near = |value: f64, expected: f64| (value - expected).abs() < 1e-12;
        assert!(near(median(&[3.0, 1.0, 2.0]), 2.0));
        assert!(near(median(&[4.0, 1.0, 2.0, 3.0]), 2.0));
        assert!(near(deviation(&[7.0]), 0.0));
        assert!((deviation(&[1.0, 3.0]) - 2f64.sqrt()).abs() < 1e-12);
    }
}
