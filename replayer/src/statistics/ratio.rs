//! A ratio over a time whose seconds resemble their neighbours: bad requests among those asked, answers a second.
//!
//! Requests of the same second share their fate, and so do seconds that follow one another: the variance is that of the
//! residuals by second (Cochran, Sampling Techniques, 1977, 6.3: the ratio estimator of clusters), times what their lag-1
//! correlation adds, (1 + ρ)/(1 − ρ). How long a spell lasts is that factor, in seconds; how many of them there were is
//! what an interval has for degrees of freedom.

use super::autocorrelation::autocorrelation;

/// Two runs of one plan are held against each other by stretches of so many seconds: what makes requests late need not
/// happen in the same second of both.
const PAIRED_S: usize = 5;
/// More change a quantile of Student's by less than half a percent.
const DEGREES_MAX: u32 = 200;

/// What one second asked, and how much of it counts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Count {
    pub asked: f64,
    pub counted: f64,
}

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Ratio {
    pub value: f64,
    pub asked: f64,
    /// By second: counted − value · asked. They add up to 0.
    residuals: Vec<f64>,
}

impl Ratio {
    /// Over all seconds of the time, those without anything too; `None` where nothing was asked.
    pub fn of(seconds: &[Count]) -> Option<Self> {
        let asked: f64 = seconds.iter().map(|second| second.asked).sum();
        let counted: f64 = seconds.iter().map(|second| second.counted).sum();
        let value = counted / asked;
        let residuals = seconds.iter().map(|second| second.counted - value * second.asked).collect();
        (asked > 0.0).then_some(Self { value, asked, residuals })
    }

    /// How long seconds resemble those before; 1 where they do not.
    pub fn spell_s(&self) -> f64 {
        let correlation = autocorrelation(&self.residuals);
        (1.0 + correlation) / (1.0 - correlation)
    }

    /// How many spells the time holds: so many times it was seen what there is to see.
    pub fn spells(&self) -> f64 {
        self.residuals.len() as f64 / self.spell_s()
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and cut")]
    pub fn degrees(&self) -> u32 {
        ((self.spells() - 1.0) as u32).clamp(1, DEGREES_MAX)
    }

    pub fn variance(&self) -> f64 {
        let squares: f64 = self.residuals.iter().map(|residual| residual.powi(2)).sum();
        squares * self.spell_s() / self.asked.powi(2)
    }

    /// Of a share: how many independent requests would give it this variance. Never more than there were.
    pub fn n_effective(&self) -> f64 {
        let (variance, most) = (self.variance(), self.asked);
        if variance > 0.0 {
            (self.value * (1.0 - self.value) / variance).clamp(1.0_f64.min(most), most)
        } else {
            most
        }
    }

    /// Of the same plan in another run: how alike its stretches were, 0 to 1.
    pub fn correlation(&self, other: &Self) -> f64 {
        let stretches = |ratio: &Self| -> Vec<f64> {
            ratio.residuals.chunks_exact(PAIRED_S).map(|stretch| stretch.iter().sum()).collect()
        };
        let (ours, theirs) = (stretches(self), stretches(other));
        let sum = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        let scale = (sum(&ours, &ours) * sum(&theirs, &theirs)).sqrt();
        if scale > 0.0 { (sum(&ours, &theirs) / scale).clamp(0.0, 1.0) } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(counts: &[(f64, f64)]) -> Vec<Count> {
        counts.iter().map(|&(asked, counted)| Count { asked, counted }).collect()
    }

    #[test]
    fn by_hand() {
        // 3 of 30; residuals 2 − 1, 0 − 1, 1 − 1, 0: lag-1 products −1 + 0 + 0, cut to no correlation.
        let ratio = Ratio::of(&seconds(&[(10.0, 2.0), (10.0, 0.0), (10.0, 1.0), (0.0, 0.0)])).unwrap();
        assert!((ratio.value - 0.1).abs() < 1e-12);
        assert!((ratio.variance() - 2.0 / 900.0).abs() < 1e-12);
        assert!((ratio.spells() - 4.0).abs() < 1e-12 && ratio.degrees() == 3);
        // As many as 0.09 / (2/900) = 40.5 would: there were 30.
        assert!((ratio.n_effective() - 30.0).abs() < 1e-12);
        assert_eq!(Ratio::of(&seconds(&[(0.0, 0.0)])), None);
    }

    #[test]
    fn a_spell_is_worth_one_look() {
        let spells: Vec<Count> =
            (0..200).map(|at| Count { asked: 10.0, counted: f64::from(at / 20 % 2) }).collect();
        let even: Vec<Count> = (0..200).map(|at| Count { asked: 10.0, counted: f64::from(at % 2) }).collect();
        let [spells, even] = [spells, even].map(|seconds| Ratio::of(&seconds).unwrap());
        assert!((spells.value - even.value).abs() < 1e-12);
        assert!((15.0..25.0).contains(&spells.spell_s()) && spells.degrees() < 13, "{}", spells.spell_s());
        assert!(even.spell_s() < 1.01 && spells.variance() > 15.0 * even.variance());
        assert!(spells.n_effective() < 0.2 * even.n_effective());
    }

    #[test]
    fn what_never_varies_is_worth_all() {
        let never = Ratio::of(&[Count { asked: 5.0, counted: 0.0 }; 60]).unwrap();
        assert!(never.variance() < 1e-12 && (never.n_effective() - 300.0).abs() < 1e-12);
        assert!(never.correlation(&never) < 1e-12, "nothing is alike in nothing");
    }

    #[test]
    fn a_run_is_like_itself() {
        let run: Vec<Count> =
            (0..40).map(|at| Count { asked: 3.0, counted: f64::from(at * at % 3) }).collect();
        let ratio = Ratio::of(&run).unwrap();
        assert!((ratio.correlation(&ratio) - 1.0).abs() < 1e-12);
    }
}
