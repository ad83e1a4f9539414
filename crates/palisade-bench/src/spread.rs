use serde::{Deserialize, Serialize};

/// The median of several measurements, with its quartiles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The first quartile: a quarter of the measurements is below it.
    pub lower: f64,
    /// The median.
    pub median: f64,
    /// The third quartile: a quarter of the measurements is above it.
    pub upper: f64,
}

impl Spread {
    /// Returns the median and the quartiles of `values`, or `None` if there are no values.
    pub(crate) fn try_from_values(values: Vec<f64>) -> Option<Self> {
        (!values.is_empty()).then(|| Self::from_values(values))
    }

    /// Returns the median and the quartiles of `values`. All are 0 if there are no values.
    pub(crate) fn from_values(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let last = values.len().saturating_sub(1);
            values.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
        };
        Self { lower: at(0.25), median: at(0.5), upper: at(0.75) }
    }

    /// Returns the differences of two subjects that were measured in the same rounds.
    pub(crate) fn of_differences(minuend: &[f64], subtrahend: &[f64]) -> Option<Self> {
        Self::try_from_values(minuend.iter().zip(subtrahend).map(|(a, b)| a - b).collect())
    }

    /// Returns true if 0 is between the quartiles: the measurements do not tell a difference from none.
    pub fn is_noise(&self) -> bool {
        self.lower <= 0.0 && 0.0 <= self.upper
    }
}

#[cfg(test)]
mod tests {
    use super::Spread;

    #[test]
    fn quartiles_of_unsorted_values() {
        let spread = Spread::from_values(vec![5.0, 1.0, 3.0, 2.0, 4.0]);
        assert_eq!(spread, Spread { lower: 2.0, median: 3.0, upper: 4.0 });
        assert_eq!(Spread::try_from_values(Vec::new()), None);
    }

    #[test]
    fn difference_around_zero_is_noise() {
        let noisy = Spread::of_differences(&[10.0, 12.0, 11.0], &[11.0, 11.0, 11.0]).unwrap();
        assert!(noisy.is_noise());
        let clear = Spread::of_differences(&[20.0, 22.0, 21.0], &[11.0, 11.0, 11.0]).unwrap();
        assert!(!clear.is_noise());
        assert_eq!(clear.median, 10.0);
    }
}
