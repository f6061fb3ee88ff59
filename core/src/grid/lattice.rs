//! Lattices: values that were packed or rounded before they were written lie in equal steps of a quantum. Where the
//! quantum is as wide as the bound's bins, numbers of steps are fewer bits than bins, and exact.
//!
//! A sample gives the quantum, as the common divisor of its differences up to the rounding of the stored type, and a
//! formula that gives back each of its values bit for bit. [`find`] then holds the formula against every value.

use super::Mapping;
use crate::number::Number;
use crate::scan::{self, BLOCK};
use crate::special::Special;

/// Values looked at first: enough to see that most fields lie on no lattice.
const FEW: usize = 256;
/// Values looked at to find the quantum.
const MANY: usize = 2048;
/// One value in so many may miss the lattice; each costs several bytes.
const EXCEPTIONS: usize = 300;
/// Times that values which the formula misses join the sample.
const ROUNDS: usize = 4;

/// The lattice with a quantum of at least `least` on which the values of `raw` lie that are not special; `None` if
/// there is none.
///
/// Each value, but for a few exceptions, comes back within `slack`.
pub fn find<N: Number>(raw: &[u8], special: &Special, least: f64, slack: f64) -> Option<Mapping> {
    let points = raw.len() / N::SIZE;
    nearest::<N>(raw, special, least, slack)
        .filter(|(missed, _)| missed * EXCEPTIONS <= points)
        .map(|(_, m)| m)
}

/// Whether all values lie on a lattice that none of the grids with these units shares: then none of the values was
/// decoded from one of them, though some, and with them all that repeat them, are on the grid by chance.
pub fn is_unrelated<N: Number>(raw: &[u8], special: &Special, units: &[f64]) -> bool {
    let least = units.iter().copied().fold(f64::INFINITY, f64::min);
    let slack = if N::FLOAT { least * SLACK } else { 0.0 };
    nearest::<N>(raw, special, least * 1.001, slack).is_some_and(|(missed, mapping)| {
        let apart = |unit: &f64| {
            let ratio = mapping.quantum() / unit;
            // Multiples of the unit are values that were decoded.
            ratio > 1.0 && (ratio - ratio.round()).abs() > 1e-3
        };
        missed == 0 && units.iter().all(apart)
    })
}

/// Lattice values may be off by this share of the quantum: doubles were computed in ways of which not every last digit
/// can be found out. Hundreds of thousands of such errors, one for each time that a chunk is written again, fit into what
/// the grids leave free.
pub const SLACK: f64 = 1.0 / (1u64 << 28) as f64;

/// The lattice that misses the fewest values, and how many.
fn nearest<N: Number>(raw: &[u8], special: &Special, least: f64, slack: f64) -> Option<(usize, Mapping)> {
    let least = least.max(f64::MIN_POSITIVE);
    let few = sample::<N>(raw, special, FEW);
    smallest_difference(&few).filter(|d| *d >= least * 0.999)?;
    let mut values = sample::<N>(raw, special, MANY);
    smallest_difference(&values).filter(|d| *d >= least * 0.999)?;
    let mut best: Option<(usize, Mapping)> = None;
    for _ in 0..ROUNDS {
        let Some(mapping) = formula::<N>(&values, least, slack) else { break };
        let (missed, some) = misses::<N>(raw, special, &mapping, slack);
        if best.is_none_or(|b| missed < b.0) {
            best = Some((missed, mapping));
        }
        if missed == 0 {
            break;
        }
        values.extend(some);
        tidy(&mut values);
    }
    best
}

/// About `count` of the values that are not special, sorted, each once.
fn sample<N: Number>(raw: &[u8], special: &Special, count: usize) -> Vec<f64> {
    let every = (raw.len() / N::SIZE / count).max(1) | 1;
    let numbers = raw.chunks_exact(N::SIZE).step_by(every).map(N::read);
    let mut values: Vec<f64> = numbers.filter(|v| !special.is(*v)).map(N::to_f64).collect();
    tidy(&mut values);
    values
}

fn tidy(values: &mut Vec<f64>) {
    // Zero and minus zero are one value.
    values.iter_mut().for_each(|v| *v += 0.0);
    values.sort_unstable_by(f64::total_cmp);
    values.dedup();
}

fn smallest_difference(values: &[f64]) -> Option<f64> {
    values.windows(2).map(|w| w[1] - w[0]).min_by(f64::total_cmp)
}

/// A formula that gives back the sample.
fn formula<N: Number>(values: &[f64], least: f64, slack: f64) -> Option<Mapping> {
    let fits = |m: &Mapping, slack: f64| {
        let missed = values.iter().filter(|v| !gives_back::<N>(m, **v, slack)).count();
        m.quantum() >= least * 0.999 && missed * EXCEPTIONS <= values.len()
    };
    // Bit for bit, if that is possible.
    let found = quantum::<N>(values, least).and_then(|quantum| {
        let mut plain = simple(values, quantum).into_iter();
        let affine = |slack| affine::<N>(values, quantum, slack).filter(|m| fits(m, slack));
        plain.find(|m| fits(m, 0.0)).or_else(|| affine(0.0)).or_else(|| affine(slack))
    });
    found.or_else(|| binary(values).filter(|m| fits(m, 0.0)))
}

/// The formulas of few digits that may give back values in steps of `quantum`, which is uncertain by so much.
fn simple(values: &[f64], (quantum, uncertain): (f64, f64)) -> Vec<Mapping> {
    let mut found = vec![];
    // Whole fractions of one: decimals.
    let parts = (1.0 / quantum).round();
    if (1.0 / quantum - parts).abs() <= uncertain * parts * parts && parts >= 2.0 {
        found.push(Mapping::Quotient(parts));
    }
    let round = shortest(quantum, uncertain);
    found.extend([quantum, round].map(|unit| Mapping::Affine { unit, origin: 0.0 }));
    let some = values[values.len() / 2];
    let near_zero = some - (some / round).round() * round;
    let digits = (some.abs() / round + 2.0) * (uncertain + round * 1e-15);
    found.push(Mapping::Affine { unit: round, origin: shortest(near_zero, digits) });
    found
}

/// Multiples of a power of two: the lowest bit that any value needs.
fn binary(values: &[f64]) -> Option<Mapping> {
    let lowest = |v: &f64| {
        let bits = v.to_bits();
        let exponent = (bits >> 52 & 2047) as i32;
        let fraction = bits & ((1 << 52) - 1) | u64::from(exponent > 0) << 52;
        (fraction != 0).then(|| exponent.max(1) - 1075 + fraction.trailing_zeros() as i32)
    };
    let exponent = values.iter().filter_map(lowest).min()?;
    (exponent > -1000 && exponent < 1000).then(|| Mapping::Affine { unit: 2f64.powi(exponent), origin: 0.0 })
}

/// The common divisor of the differences and how far it may be off: found from the smallest difference, made more
/// precise by ever larger ones.
fn quantum<N: Number>(values: &[f64], least: f64) -> Option<(f64, f64)> {
    let largest = values.first()?.abs().max(values.last()?.abs());
    // Each of two values was rounded to the stored type, after perhaps two operations.
    let noise = if N::FLOAT { 1.5 * super::spacing(largest, N::PRECISION) } else { 0.0 };
    let mut quantum = smallest_difference(values)?;
    'again: for _ in 0..8 {
        if quantum < least * 0.999 || quantum < 4.0 * noise {
            return None;
        }
        let mut steps = 1.0;
        let mut gap = 1;
        while gap < values.len() {
            let mut spans: Vec<f64> = values.windows(gap + 1).map(|w| w[gap] - w[0]).collect();
            if gap == 1 {
                // From here on no span is so much larger than all before that its steps cannot be counted.
                spans.sort_unstable_by(f64::total_cmp);
            }
            for span in spans {
                let n = (span / quantum).round();
                let (off, uncertain) = ((span - n * quantum).abs(), noise * (1.0 + n / steps));
                if uncertain > 0.3 * quantum {
                    return None;
                }
                if off > uncertain {
                    quantum = off;
                    continue 'again;
                }
                if n > steps {
                    (quantum, steps) = (span / n, n);
                }
            }
            gap *= 2;
        }
        return Some((quantum, noise / steps + quantum * 1e-15));
    }
    None
}

/// The number of fewest decimal digits within `uncertain` of `v`.
fn shortest(v: f64, uncertain: f64) -> f64 {
    (0..17)
        .filter_map(|digits| format!("{v:.digits$e}").parse::<f64>().ok())
        .find(|r| (r - v).abs() <= uncertain)
        .unwrap_or(v)
}

/// A unit and an origin that come as near to every value as rounding does: the middle of all that do.
///
/// Each value limits the (origin, unit) that are possible to a strip of the plane; what all of them leave is a small
/// polygon, cut out strip by strip.
fn affine<N: Number>(values: &[f64], (quantum, uncertain): (f64, f64), slack: f64) -> Option<Mapping> {
    let base = values[values.len() / 2];
    let rounding = |v: f64| if N::FLOAT { 0.5 * super::spacing(v, N::PRECISION) } else { 1e-9 };
    let most = values.iter().map(|v| rounding(*v)).fold(slack, f64::max);
    // Corrections (of the value at `base`, of the quantum) that are possible.
    let (o, u) = (4.0 * most, 4.0 * uncertain);
    let mut polygon = vec![(-o, -u), (o, -u), (o, u), (-o, u)];
    for v in values {
        let k = ((v - base) / quantum).round();
        // A little more, for the rounding of what is computed here.
        let (off, within) = (v - base - k * quantum, rounding(*v).max(slack) * 1.000_001);
        for side in [1.0, -1.0] {
            cut(&mut polygon, |p| within - side * (off - p.0 - k * p.1));
        }
        if polygon.is_empty() {
            return None;
        }
    }
    let n = polygon.len() as f64;
    let middle = polygon.iter().fold((0.0, 0.0), |m, p| (m.0 + p.0 / n, m.1 + p.1 / n));
    let unit = quantum + middle.1;
    let origin = base + middle.0;
    // Near zero the origin has more digits.
    let origin = origin - (origin / unit).round() * unit;
    Some(Mapping::Affine { unit, origin })
}

/// Keeps the part of a convex polygon in which `inside` is not negative; `inside` is linear.
fn cut(polygon: &mut Vec<(f64, f64)>, inside: impl Fn((f64, f64)) -> f64) {
    if polygon.iter().all(|p| inside(*p) >= 0.0) {
        return;
    }
    let mut out = Vec::with_capacity(polygon.len() + 1);
    for (i, &a) in polygon.iter().enumerate() {
        let b = polygon[(i + 1) % polygon.len()];
        let (at_a, at_b) = (inside(a), inside(b));
        if at_a >= 0.0 {
            out.push(a);
        }
        if (at_a >= 0.0) != (at_b >= 0.0) {
            let t = at_a / (at_a - at_b);
            out.push((a.0 + t * (b.0 - a.0), a.1 + t * (b.1 - a.1)));
        }
    }
    *polygon = out;
}

fn gives_back<N: Number>(mapping: &Mapping, v: f64, slack: f64) -> bool {
    let k = mapping.steps(v).round();
    k.abs() < 2f64.powi(50) && (N::cast(mapping.value(k as i64, false)).to_f64() - v).abs() <= slack
}

/// How many of the values a formula does not give back, and some of those.
fn misses<N: Number>(raw: &[u8], special: &Special, mapping: &Mapping, slack: f64) -> (usize, Vec<f64>) {
    let mut marks = [0u8; BLOCK];
    let (mut missed, mut some) = (0, vec![]);
    let points = raw.len() / N::SIZE;
    for block in raw.chunks(BLOCK * N::SIZE) {
        let marks = &mut marks[..block.len() / N::SIZE];
        special.mark::<N>(block, marks);
        let n = scan::off_lattice::<N>(block, mapping, slack, marks);
        if n == 0 {
            continue;
        }
        missed += n;
        let off = |(b, m): (&[u8], &u8)| {
            let v = N::read(b).to_f64();
            (*m == 0 && !gives_back::<N>(mapping, v, slack)).then_some(v)
        };
        if some.len() < FEW {
            some.extend(block.chunks_exact(N::SIZE).zip(&*marks).filter_map(off).take(FEW));
        } else if missed * EXCEPTIONS > points {
            // Enough to know that this is not it, and to look for a better one.
            break;
        }
    }
    (missed, some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bound::Bound;

    fn find_in<N: Number>(values: &[f64], least: f64) -> Option<Mapping> {
        let mut raw = vec![0; values.len() * N::SIZE];
        raw.chunks_exact_mut(N::SIZE).zip(values).for_each(|(b, v)| N::cast(*v).write(b));
        let mut special = Special::new::<N>(&Bound::Absolute(1.0), None);
        special.survey::<N>(&raw, 1)?;
        find::<N>(&raw, &special, least, 0.0)
    }

    fn wave(n: usize, amplitude: f64) -> impl Iterator<Item = f64> {
        (0..n).map(move |i| amplitude * ((i as f64 * 0.0021).sin() + 0.3 * (i as f64 * 0.017).cos()))
    }

    #[test]
    fn lattices_are_found() {
        let decimals: Vec<f64> = wave(20_000, 300.0).map(|v| v.round() / 10.0).collect();
        assert_eq!(find_in::<f64>(&decimals, 0.05), Some(Mapping::Quotient(10.0)));
        assert_eq!(find_in::<f32>(&decimals, 0.05), Some(Mapping::Quotient(10.0)));
        assert_eq!(find_in::<f32>(&decimals, 0.2), None);
        let multiples: Vec<f64> = wave(20_000, 300.0).map(|v| v.round() * 0.1).collect();
        assert_eq!(find_in::<f64>(&multiples, 0.05), Some(Mapping::Affine { unit: 0.1, origin: 0.0 }));
        let binary: Vec<f64> = wave(20_000, 300.0).map(|v| v.round() * 0.375).collect();
        assert!(find_in::<f32>(&binary, 0.3).is_some());
        let counts: Vec<f64> = wave(20_000, 300.0).map(|v| v.round() * 6.0 + 1.0).collect();
        let found = find_in::<i16>(&counts, 5.0);
        assert!(matches!(found, Some(Mapping::Affine { unit: 6.0, .. })), "{found:?}");
        let packed = wave(20_000, 20_000.0).map(|v| v.round() * 1.311_273_1e-3 + 288.156_71);
        let found = find_in::<f32>(&packed.collect::<Vec<_>>(), 1e-3);
        assert!(matches!(found, Some(Mapping::Affine { .. })), "{found:?}");
    }

    #[test]
    fn other_values_lie_on_none() {
        let smooth: Vec<f64> = wave(20_000, 300.0).collect();
        for least in [1e-6f64, 1e-3, 1.0] {
            assert_eq!(find_in::<f32>(&smooth, least.max(1e-3)), None);
            assert_eq!(find_in::<f64>(&smooth, least), None);
        }
    }
}
