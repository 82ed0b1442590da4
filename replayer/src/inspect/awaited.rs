//! Stand-ins until `sessions::route` and `plan::dispersion` are merged.
pub(super) mod route {
    pub(crate) fn template(method: &str, target: &str) -> String {
        format!("{method} {}", target.split('?').next().unwrap_or_default())
    }
}
pub(super) fn dispersion(starts_us: &[u64], window_s: f64) -> Option<f64> {
    let window_us = window_s * 1e6;
    let last = *starts_us.last()?;
    let windows = (last as f64 / window_us).floor();
    if windows < 5.0 {
        return None;
    }
    let mut counts = vec![0.0_f64; windows as usize];
    for s in starts_us {
        if let Some(c) = counts.get_mut((*s as f64 / window_us) as usize) {
            *c += 1.0;
        }
    }
    let mean = counts.iter().sum::<f64>() / windows;
    let variance = counts.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / (windows - 1.0);
    Some(variance / mean)
}
