//! Counter-based random numbers: the value at an index is a pure function of (seed, stream, index).
//!
//! Nothing is carried from draw to draw, so a run can be resumed in the middle, and work can be cut up in any way,
//! without changing a number. Only integer arithmetic, IEEE `+ - * /` and `sqrt` are used, never the system's maths
//! library, so the values are the same bits on every platform, wasm32 included. The golden values in the tests pin them:
//! changing them changes every seeded result of mosaec.
//!
//! The generator is splitmix64 (Steele, Lea and Flood 2014) read at random access: `u64_at(i)` is the output `i` of a
//! splitmix64 whose state starts at a hash of seed and stream. It is statistical, not cryptographic.

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// Keeps [`permutation`] apart from other users of the same seed and a stream number equal to the epoch.
const PERMUTATION_DOMAIN: u64 = 0x7065_726D_7574_6174;

/// splitmix64's finalizer (Stafford's variant 13): a bijection of `u64` that spreads every input bit.
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A stream of random numbers that is read by index.
///
/// ```text
/// key       = mix(mix(seed + G) + stream * G + G)      G = 0x9E3779B97F4A7C15, wrapping
/// u64_at(i) = mix(key + (i + 1) * G)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterRng {
    key: u64,
}

impl CounterRng {
    /// The stream number `stream` of `seed`. Streams of one seed are independent of each other.
    pub const fn new(seed: u64, stream: u64) -> Self {
        let seeded = mix(seed.wrapping_add(GOLDEN));
        Self {
            key: mix(seeded
                .wrapping_add(stream.wrapping_mul(GOLDEN))
                .wrapping_add(GOLDEN)),
        }
    }

    /// 64 random bits.
    pub const fn u64_at(&self, index: u64) -> u64 {
        mix(self
            .key
            .wrapping_add(index.wrapping_add(1).wrapping_mul(GOLDEN)))
    }

    /// A whole number in `0..n` (0 if `n` is 0). The bias of the multiply-and-shift method is below `n / 2^64`.
    pub const fn below_at(&self, index: u64, n: u64) -> u64 {
        ((self.u64_at(index) as u128 * n as u128) >> 64) as u64
    }

    /// A number in `[0, 1)`, a multiple of 2^-24: every such value is exact in f32.
    pub fn uniform_at(&self, index: u64) -> f32 {
        (self.u64_at(index) >> 40) as f32 * (1.0 / 16_777_216.0)
    }

    /// A draw from the normal distribution with mean 0 and variance 1, by Box and Muller from one 64-bit value each.
    ///
    /// 32 bits go to the radius, so values lie within about ±6.77.
    pub fn normal_at(&self, index: u64) -> f32 {
        let bits = self.u64_at(index);
        // In (0, 1): never 0, whose logarithm is infinite.
        let radius = ((bits >> 32) as f64 + 0.5) / 4_294_967_296.0;
        let turn = (bits & 0xFFFF_FFFF) as f64 / 4_294_967_296.0;
        ((-2.0 * ln(radius)).sqrt() * cos_turns(turn)) as f32
    }

    /// Shuffles in place (Fisher and Yates, from the end; uses the indices `1..items.len()`).
    pub fn shuffle<T>(&self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below_at(i as u64, i as u64 + 1) as usize);
        }
    }

    /// The numbers `0..n` in random order. `n` must be below 2^32; a larger `n` is cut there.
    pub fn permutation(&self, n: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..u32::try_from(n).unwrap_or(u32::MAX)).collect();
        self.shuffle(&mut order);
        order
    }

    /// Reads the stream from the start, one value after another.
    pub const fn draws(self) -> Draws {
        Draws { rng: self, next: 0 }
    }
}

/// A [`CounterRng`] read one value after another, for code that needs an unknown number of draws.
#[derive(Clone, Debug)]
pub struct Draws {
    rng: CounterRng,
    next: u64,
}

impl Draws {
    /// A whole number in `0..n` (0 if `n` is 0).
    pub fn below(&mut self, n: usize) -> usize {
        let value = self.rng.below_at(self.next, n as u64);
        self.next += 1;
        value as usize
    }
}

/// The numbers `0..n` in random order, a different order each epoch.
pub fn permutation(seed: u64, epoch: u64, n: usize) -> Vec<u32> {
    CounterRng::new(seed ^ PERMUTATION_DOMAIN, epoch).permutation(n)
}

/// A number in `[0, 1)`; see [`CounterRng::uniform_at`].
pub fn uniform(seed: u64, stream: u64, index: u64) -> f32 {
    CounterRng::new(seed, stream).uniform_at(index)
}

/// A normal draw with mean 0 and variance 1; see [`CounterRng::normal_at`].
pub fn normal(seed: u64, stream: u64, index: u64) -> f32 {
    CounterRng::new(seed, stream).normal_at(index)
}

/// Natural logarithm of a positive normal number, from `+ - * /` alone: the system's `ln` may differ in the last bit
/// from platform to platform. Relative error about 1e-16 (checked against `f64::ln` in the tests).
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) & 0x7FF) as i64 - 1023;
    let mut mantissa = f64::from_bits((bits & 0x000F_FFFF_FFFF_FFFF) | 0x3FF0_0000_0000_0000);
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1;
    }
    // ln m = 2 atanh(s), s = (m - 1) / (m + 1), |s| < 0.172: eleven terms reach 1e-17.
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let s2 = s * s;
    let mut sum = 0.0;
    for k in (0..11).rev() {
        sum = sum * s2 + 1.0 / (2 * k + 1) as f64;
    }
    exponent as f64 * std::f64::consts::LN_2 + 2.0 * s * sum
}

/// cos(2 pi t) for t in [0, 1), for the same reason as [`ln`].
fn cos_turns(t: f64) -> f64 {
    // Quarter turns; the rest lies within an eighth of a turn, |angle| <= pi/4.
    let quarter = (t * 4.0 + 0.5).floor();
    let angle = (t - quarter * 0.25) * std::f64::consts::TAU;
    let a2 = angle * angle;
    // Taylor series around 0: the first term left out is below 1e-17.
    let series = |first: u32| {
        let mut sum = 1.0;
        for k in (1..9).rev() {
            let n = (2 * k + first) as f64;
            sum = 1.0 - sum * a2 / (n * (n - 1.0));
        }
        sum
    };
    match quarter as i64 & 3 {
        0 => series(0),
        1 => -angle * series(1),
        2 => -series(0),
        _ => angle * series(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_pinned() {
        // Made by a separate implementation of the formula above, in Python.
        let rng = CounterRng::new(0, 0);
        let values: Vec<u64> = (0..3).map(|i| rng.u64_at(i)).collect();
        assert_eq!(values, GOLDEN_U64);
        assert_eq!(permutation(7, 1, 8), GOLDEN_ORDER);
        assert_eq!(normal(1, 2, 3).to_bits(), GOLDEN_NORMAL);
    }
    const GOLDEN_U64: [u64; 3] = [
        2558736989570252433,
        17913671590881668180,
        5125111896206277188,
    ];
    const GOLDEN_ORDER: [u32; 8] = [7, 0, 4, 2, 3, 5, 6, 1];
    const GOLDEN_NORMAL: u32 = 0x3F676F7C;

    #[test]
    fn own_functions_agree_with_the_system() {
        for i in 1..20_000u32 {
            let x = f64::from(i) / 20_000.0;
            assert!(
                (ln(x) - x.ln()).abs() <= 4e-16 * x.ln().abs().max(1.0),
                "ln {x}"
            );
            let c = (x * std::f64::consts::TAU).cos();
            assert!(
                (cos_turns(x) - c).abs() < 1e-15,
                "cos {x}: {} {c}",
                cos_turns(x)
            );
        }
        assert!((ln(1e-300) - 1e-300f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn moments_and_ranges() {
        let rng = CounterRng::new(3, 9);
        let n = 100_000;
        let (mut u, mut m1, mut m2, mut m4) = (0.0f64, 0.0f64, 0.0f64, 0.0f64);
        for i in 0..n {
            let x = rng.uniform_at(i);
            assert!((0.0..1.0).contains(&x));
            u += f64::from(x);
            let z = f64::from(CounterRng::new(3, 10).normal_at(i));
            m1 += z;
            m2 += z * z;
            m4 += z.powi(4);
        }
        let n = n as f64;
        assert!((u / n - 0.5).abs() < 0.005);
        assert!(
            (m1 / n).abs() < 0.015 && (m2 / n - 1.0).abs() < 0.02 && (m4 / n - 3.0).abs() < 0.15
        );
    }

    #[test]
    fn permutations_are_permutations() {
        for n in [0, 1, 2, 100, 4097] {
            let mut order = permutation(1, 0, n);
            if n >= 100 {
                assert_ne!(order, permutation(1, 1, n));
                assert_ne!(order, permutation(2, 0, n));
            }
            order.sort_unstable();
            assert_eq!(order, (0..n as u32).collect::<Vec<_>>());
        }
        assert_eq!(CounterRng::new(0, 0).below_at(0, 0), 0);
        assert_eq!(CounterRng::new(5, 0).draws().below(1), 0);
    }
}
