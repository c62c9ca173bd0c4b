//! Random numbers by counter: Philox 4×32 with 10 rounds (Salmon et al. 2011, "Parallel random numbers: as easy as 1,
//! 2, 3", section 3.3), and normals of its words by Box & Muller 1958. The twin of `cuda/random.cu`.
//!
//! Sums, products, quotients and roots alone, which every device rounds alike: CPU and GPU draw the same bits, whatever
//! the width of vectors. Plain loops, since functions over arrays take several times as long where nothing is
//! optimised, as in tests.

use crate::rng::Counter;

/// How many numbers are made at once: [`LANES`] counters side by side become four words each. Number i of a stream is
/// word ⌊i/16⌋ mod 4 of counter 16·⌊i/64⌋ + i mod 16, so that each of a tile's four rows is one of vectors.
pub const TILE: usize = 4 * LANES;
const LANES: usize = 16;
const ROUNDS: usize = 10;

/// One number for each place of a tile.
pub type Tile<T> = [T; TILE];

/// The tiles that hold `n` numbers of a stream, in turn.
pub struct Tiles {
    tile: u64,
    skipped: usize,
    done: usize,
    n: usize,
}

/// A tile that holds some of the numbers that are asked for.
pub struct Held {
    /// Its number.
    pub tile: u64,
    /// The place in it of the first of them.
    pub skipped: usize,
    /// The place of this one among all.
    pub at: usize,
    /// How many they are.
    pub count: usize,
}

impl Tiles {
    /// The tiles of n numbers from the beginning of `counter` on.
    #[inline(always)]
    pub fn of(counter: Counter, n: usize) -> Self {
        let (tile, skipped) = (counter.first() / TILE as u64, (counter.first() % TILE as u64) as usize);
        Tiles { tile, skipped, done: 0, n }
    }
}

impl Iterator for Tiles {
    type Item = Held;

    #[inline(always)]
    fn next(&mut self) -> Option<Held> {
        let Tiles { tile, skipped, done, n } = *self;
        let count = (n - done).min(TILE - skipped);
        *self = Tiles { tile: tile.wrapping_add(1), skipped: 0, done: done + count, n };
        (count > 0).then_some(Held { tile, skipped, at: done, count })
    }
}

/// The words of a tile.
#[inline(always)]
pub fn words(key: [u32; 4], tile: u64) -> Tile<u32> {
    let [mut a, mut b, mut c, mut d] = [[0; LANES], [0; LANES], [key[2]; LANES], [key[3]; LANES]];
    let mut l = 0;
    while l < LANES {
        let counter = tile.wrapping_mul(LANES as u64).wrapping_add(l as u64);
        a[l] = counter as u32;
        b[l] = (counter >> 32) as u32;
        l += 1;
    }
    let (mut k0, mut k1, mut round) = (key[0], key[1], 0);
    while round < ROUNDS {
        let mut l = 0;
        while l < LANES {
            let (x, y) = (0xD251_1F53 * u64::from(a[l]), 0xCD9E_8D57 * u64::from(c[l]));
            a[l] = (y >> 32) as u32 ^ b[l] ^ k0;
            c[l] = (x >> 32) as u32 ^ d[l] ^ k1;
            b[l] = y as u32;
            d[l] = x as u32;
            l += 1;
        }
        k0 = k0.wrapping_add(0x9E37_79B9);
        k1 = k1.wrapping_add(0xBB67_AE85);
        round += 1;
    }
    let mut all = [0; TILE];
    let mut l = 0;
    while l < LANES {
        all[l] = a[l];
        all[LANES + l] = b[l];
        all[2 * LANES + l] = c[l];
        all[3 * LANES + l] = d[l];
        l += 1;
    }
    all
}

/// Standard normal numbers, of which the first and second word of a counter become two, and the others two.
#[inline(always)]
pub fn normals(key: [u32; 4], tile: u64) -> Tile<f32> {
    let words = words(key, tile);
    let mut all = [0.0; TILE];
    let mut from = 0;
    while from < TILE {
        let mut l = from;
        while l < from + LANES {
            [all[l], all[LANES + l]] = pair(words[l], words[LANES + l]);
            l += 1;
        }
        from += 2 * LANES;
    }
    all
}

/// Two independent normal numbers √(-2 ln u)·(cos 2πv, sin 2πv) of words that stand for u in (0, 1] and v in [0, 1).
/// None is beyond 6.7.
#[inline(always)]
fn pair(u: u32, v: u32) -> [f32; 2] {
    const TURN: f32 = std::f32::consts::TAU / 4_294_967_296.0;
    let radius = (-2.0 * ln(((u >> 1) as i32 as f32 + 0.5) * (1.0 / 2_147_483_648.0))).sqrt();
    // The nearest quarter of a turn, and what is left, at most π/4 either way: Taylor polynomials, rest below 3e-8.
    let quarter = v.wrapping_add(1 << 29) >> 30;
    let x = v.wrapping_sub(quarter << 30) as i32 as f32 * TURN;
    let z = x * x;
    let p = z * (1.0 / 362_880.0) - 1.0 / 5040.0;
    let p = p * z + 1.0 / 120.0;
    let p = p * z - 1.0 / 6.0;
    let sine = x * (p * z + 1.0);
    let p = z * (-1.0 / 3_628_800.0) + 1.0 / 40_320.0;
    let p = p * z - 1.0 / 720.0;
    let p = p * z + 1.0 / 24.0;
    let p = p * z - 0.5;
    let cosine = p * z + 1.0;
    let odd = quarter & 1 == 1;
    let (s, c) = (if odd { cosine } else { sine }, if odd { sine } else { cosine });
    // The sign is the second bit of the quarter for the sine, and of the next one for the cosine.
    let signed = |x: f32, quarter: u32| f32::from_bits(x.to_bits() ^ ((quarter & 2) << 30));
    [radius * signed(c, quarter + 1), radius * signed(s, quarter)]
}

/// The logarithm of a normal number x = 2ᵉm with √½ ≤ m < √2, as e ln 2 + 2 artanh((m - 1)/(m + 1)), by its series
/// (remainder below 1e-8).
#[inline(always)]
fn ln(x: f32) -> f32 {
    const ROOT_HALF: u32 = 0x3F35_04F3;
    let exponent = x.to_bits().wrapping_sub(ROOT_HALF) as i32 >> 23;
    let m = f32::from_bits(x.to_bits().wrapping_sub((exponent << 23) as u32));
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let p = z * (1.0 / 9.0) + 1.0 / 7.0;
    let p = p * z + 1.0 / 5.0;
    let p = p * z + 1.0 / 3.0;
    exponent as f32 * std::f32::consts::LN_2 + 2.0 * (s + s * (p * z))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of a counter of 128 bits, by the tile that holds it.
    fn encrypted(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
        let low = u64::from(counter[1]) << 32 | u64::from(counter[0]);
        let (tile, lane) = (low / LANES as u64, (low % LANES as u64) as usize);
        let all = words([key[0], key[1], counter[2], counter[3]], tile);
        std::array::from_fn(|word| all[word * LANES + lane])
    }

    /// `kat_vectors` of Random123, `philox4x32 10`.
    #[test]
    fn the_known_answers_come_out() {
        let all = u32::MAX;
        assert_eq!(encrypted([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(encrypted([all; 4], [all; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        let of_pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
        let answer = [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1];
        assert_eq!(encrypted(of_pi, [0xa409_3822, 0x299f_31d0]), answer);
    }

    #[test]
    fn pairs_are_those_of_the_formula() {
        let words = |k: u32| (k.wrapping_mul(0x9E37_79B9) >> (k % 23), k.wrapping_mul(0x85EB_CA6B));
        for (u, v) in (0..100_000).map(words).chain([(0, 0), (u32::MAX, u32::MAX), (0, 1 << 29), (1, 3 << 29)]) {
            let inside = ((f64::from(u >> 1) + 0.5) / 2f64.powi(31)) as f32;
            let (radius, angle) =
                ((-2.0 * f64::from(inside).ln()).sqrt(), std::f64::consts::TAU * f64::from(v) / 2f64.powi(32));
            for (have, want) in pair(u, v).into_iter().zip([radius * angle.cos(), radius * angle.sin()]) {
                assert!((f64::from(have) - want).abs() < 1.5e-6 && have.is_finite(), "{u} {v}: {have}, {want}");
            }
        }
    }

    #[test]
    fn normals_have_the_moments_of_a_normal_and_are_not_correlated() {
        let tiles: Vec<f64> = (0..8000).flat_map(|tile| normals([5, 6, 7, 8], tile)).map(f64::from).collect();
        let n = tiles.len() as f64;
        let mean = |f: &dyn Fn(usize) -> f64| (0..tiles.len()).map(f).sum::<f64>() / n;
        let power = |p: i32| mean(&|i| tiles[i].powi(p));
        let after = |lag: usize| mean(&|i| tiles[i] * tiles[(i + lag) % tiles.len()]);
        let z = [power(1), (power(2) - 1.0) / 2f64.sqrt(), power(3) / 15f64.sqrt(), (power(4) - 3.0) / 96f64.sqrt()];
        let lags = [1, 16, 32, 48, 64, 1024].map(after);
        assert!(z.iter().chain(&lags).all(|z| (z * n.sqrt()).abs() < 4.0), "{z:?} {lags:?}");
    }
}
