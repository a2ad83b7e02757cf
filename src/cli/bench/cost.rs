//! What tokens cost in electricity.

/// Dollars that DeepSeek asked for a million output tokens of R1 (api-docs.deepseek.com/quick_start/pricing,
/// `deepseek-reasoner`, from January 2025 on).
pub(super) const DEEPSEEK_R1: f64 = 2.19;

/// What the machine draws, and what that costs.
#[derive(Clone, Copy)]
pub(super) struct Price {
    pub(super) watts: f64,
    /// In any currency.
    pub(super) per_kwh: f64,
}

impl Price {
    /// Of a million tokens at a speed.
    pub(super) fn per_million(&self, tokens_per_second: f64) -> f64 {
        let hours = 1e6 / tokens_per_second / 3600.0;
        self.watts / 1000.0 * hours * self.per_kwh
    }
}

/// A number above zero, for clap.
pub(super) fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if number > 0.0 && number.is_finite() {
        Ok(number)
    } else {
        Err("not above zero".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kilowatt_hour_at_its_price() {
        // 1000 W for an hour: 3600 s at 1000 t/s are 3.6 million tokens.
        let price = Price {
            watts: 1000.0,
            per_kwh: 0.36,
        };
        assert!((price.per_million(1000.0) - 0.1).abs() < 1e-12);
    }

    #[test]
    fn only_numbers_above_zero() {
        assert_eq!(positive("0.5"), Ok(0.5));
        for wrong in ["0", "-1", "inf", "NaN", "much"] {
            assert!(positive(wrong).is_err(), "{wrong}");
        }
    }
}
