//! How well scores tell two kinds of windows apart, without a threshold.

/// The area under the receiver operating characteristic of `scores`, each with whether it should be high: the chance that
/// one that should be is above one that should not, ties counting half. None without both kinds.
///
/// Complexity: sorts the scores.
pub fn area_under_curve(scores: &[(f64, bool)]) -> Option<f64> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut pairs, mut low, mut high) = (0.0, 0.0, 0.0);
    for equal in sorted.chunk_by(|a, b| a.0 == b.0) {
        let above = equal.iter().filter(|(_, wanted)| *wanted).count() as f64;
        let below = equal.len() as f64 - above;
        pairs += above * (low + below / 2.0);
        low += below;
        high += above;
    }
    (low > 0.0 && high > 0.0).then(|| pairs / (low * high))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_counting_pairs(scores in proptest::collection::vec((0u8..20, any::<bool>()), 0..60)) {
            let scores: Vec<(f64, bool)> = scores.iter().map(|(s, w)| (f64::from(*s), *w)).collect();
            let (mut pairs, mut all) = (0.0, 0.0);
            for (high, _) in scores.iter().filter(|(_, wanted)| *wanted) {
                for (low, _) in scores.iter().filter(|(_, wanted)| !*wanted) {
                    all += 1.0;
                    pairs += if high > low { 1.0 } else if high == low { 0.5 } else { 0.0 };
                }
            }
            match area_under_curve(&scores) {
                None => prop_assert!(all == 0.0),
                Some(area) => prop_assert!((area - pairs / all).abs() < 1e-9),
            }
        }
    }
}
