//! Colours: a map for quantities and a palette for categories.

/// The colour map viridis (van der Walt & Smith 2015) at ten even places: equal steps look equal, also in grey and to
/// the colour-blind.
const VIRIDIS: [[u8; 3]; 10] = [
    [0x44, 0x01, 0x54],
    [0x48, 0x28, 0x78],
    [0x3e, 0x49, 0x89],
    [0x31, 0x68, 0x8e],
    [0x26, 0x82, 0x8e],
    [0x1f, 0x9e, 0x89],
    [0x35, 0xb7, 0x79],
    [0x6e, 0xce, 0x58],
    [0xb5, 0xde, 0x2b],
    [0xfd, 0xe7, 0x25],
];

/// The palette of Okabe & Ito (2008) for categories, without the yellow that fades on white.
pub const PALETTE: [[u8; 3]; 7] = [
    [0x00, 0x72, 0xb2],
    [0xd5, 0x5e, 0x00],
    [0x00, 0x9e, 0x73],
    [0xcc, 0x79, 0xa7],
    [0xe6, 0x9f, 0x00],
    [0x56, 0xb4, 0xe9],
    [0x00, 0x00, 0x00],
];

/// The colour of t in [0, 1] on the map viridis; t outside takes the colour of the nearer end, NaN that of 0.
pub fn viridis(t: f64) -> [u8; 3] {
    let t = if t.is_nan() { 0.0 } else { t.clamp(0.0, 1.0) } * (VIRIDIS.len() - 1) as f64;
    let below = (t.floor() as usize).min(VIRIDIS.len() - 2);
    let share = t - below as f64;
    let (a, b) = (VIRIDIS[below], VIRIDIS[below + 1]);
    std::array::from_fn(|c| (f64::from(a[c]) * (1.0 - share) + f64::from(b[c]) * share).round() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn viridis_goes_from_purple_to_yellow_and_gets_lighter() {
        assert_eq!((viridis(0.0), viridis(1.0)), (VIRIDIS[0], VIRIDIS[9]));
        assert_eq!((viridis(-3.0), viridis(f64::INFINITY), viridis(f64::NAN)), (VIRIDIS[0], VIRIDIS[9], VIRIDIS[0]));
        let light =
            |t: f64| viridis(t).iter().zip([0.2126, 0.7152, 0.0722]).map(|(&c, w)| f64::from(c) * w).sum::<f64>();
        assert!((0..100).all(|i| light(f64::from(i + 1) / 100.0) > light(f64::from(i) / 100.0) - 0.5));
        assert!(light(1.0) > light(0.5) + 50.0 && light(0.5) > light(0.0) + 50.0);
    }
}
