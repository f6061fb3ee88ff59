//! How much of a dataset to train an autoencoder on, and which part.
//!
//! After T. Liu, Wang, Q. Liu et al.: High-ratio lossy compression: exploring the autoencoder to compress scientific data (IEEE
//! Transactions on Big Data, 2021): what share of a dataset suffices shows in the coefficient of variation (the standard deviation over the mean) of what is
//! trained on and of the rest.

/// Below this coefficient of variation a small share does not do: the errors grew up to ten times there.
const LOW: f64 = 0.01;
/// Above this one a field is varied.
const HIGH: f64 = 1.0;
/// Coefficients that differ by so many times differ much.
const DIFFER: f64 = 1.5;
/// What suffices, and what is taken where it does not.
const SHARE: f64 = 0.05;
const MORE: f64 = 0.25;
/// Values that are trained on in any case, if there are as many.
const LEAST: f64 = (4 << 20) as f64;

/// How much of the data to train on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Proportion(pub Option<f64>);

/// Reads a share, as 0.05, 5% or auto.
///
/// # Errors
/// No share.
pub fn parse(text: &str) -> Result<Proportion, String> {
    if text == "auto" {
        return Ok(Proportion(None));
    }
    let (number, unit) = match text.strip_suffix('%') {
        Some(number) => (number, 100.0),
        None => (text, 1.0),
    };
    match number.trim().parse::<f64>().map(|p| p / unit) {
        Ok(p) if p > 0.0 && p <= 1.0 => Ok(Proportion(Some(p))),
        _ => Err("a number above 0 and up to 1 expected, or a share as 5%, or auto".into()),
    }
}

impl std::fmt::Display for Proportion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(share) => write!(f, "{share}"),
            None => f.write_str("auto"),
        }
    }
}

/// Mean and standard deviation of values, added up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spread {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Spread {
    /// Adds a value (Welford's recurrence).
    pub fn add(&mut self, v: f64) {
        self.count += 1.0;
        let off = v - self.mean;
        self.mean += off / self.count;
        self.squares += off * (v - self.mean);
    }

    /// Adds what another one added up.
    pub fn join(&mut self, other: &Self) {
        let count = self.count + other.count;
        if count > 0.0 {
            let off = other.mean - self.mean;
            self.squares += other.squares + off * off * self.count * other.count / count;
            self.mean += off * other.count / count;
            self.count = count;
        }
    }

    /// The coefficient of variation.
    pub fn variation(&self) -> f64 {
        (self.squares / self.count.max(1.0)).sqrt() / self.mean.abs()
    }
}

/// The share of `values` values to train on, and why.
pub fn choose(train: &Spread, test: &Spread, values: f64) -> (f64, String) {
    let (a, b) = (train.variation(), test.variation());
    let ratio = if a > b { a / b } else { b / a };
    let number = |v: f64| match v {
        v if v < 0.01 => format!("{v:.1e}"),
        v if v < 1000.0 => format!("{v:.2}"),
        // The mean is next to nothing.
        _ => "over 1000".into(),
    };
    let (share, why) = if a < LOW {
        (1.0, format!("below {LOW}, where small shares do not suffice"))
    } else if a.min(b) >= HIGH {
        (MORE, "high".to_string())
    } else if ratio > DIFFER {
        (SHARE, "so different that more would not help".into())
    } else {
        (SHARE, format!("low, but not below {LOW}"))
    };
    let least = (LEAST / values).min(1.0);
    let said = format!(
        "the coefficient of variation is {} in what can be trained on and {} in what is held out: {why}",
        number(a),
        number(b)
    );
    if share < least {
        return (least, format!("{said}; {} % would be too few values", 100.0 * share));
    }
    (share, said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(mean: f64, deviation: f64) -> Spread {
        let mut spread = Spread::default();
        (0..1000).for_each(|i| spread.add(mean + if i % 2 == 0 { deviation } else { -deviation }));
        spread
    }

    #[test]
    fn shares_are_numbers_or_per_cent() {
        assert_eq!(parse("5%"), Ok(Proportion(Some(0.05))));
        assert_eq!(parse("0.05"), Ok(Proportion(Some(0.05))));
        assert_eq!(parse("auto"), Ok(Proportion(None)));
        for wrong in ["0", "-1%", "101%", "2", "x", "%", "nan"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_share_follows_the_coefficient_of_variation() {
        let many = 1e12;
        let choose = |a: (f64, f64), b: (f64, f64), n| choose(&spread(a.0, a.1), &spread(b.0, b.1), n);
        assert_eq!(choose((1.0, 0.1), (1.0, 0.11), many).0, SHARE);
        assert_eq!(choose((1.0, 0.001), (1.0, 0.001), many).0, 1.0);
        assert_eq!(choose((1.0, 0.1), (1.0, 0.3), many).0, SHARE);
        assert_eq!(choose((0.0, 1.0), (0.01, 1.0), many).0, MORE);
        assert_eq!(choose((0.1, 1.0), (0.1, 1.0), many).0, MORE);
        let (share, why) = choose((1.0, 0.1), (1.0, 0.1), 2.0 * LEAST);
        assert!(share == 0.5 && why.contains("too few"), "{why}");
        assert_eq!(choose((1.0, 0.1), (1.0, 0.1), 100.0).0, 1.0);
    }
}
