//! Marks as they lie in a stream: each decided in the context of marks around it, in its frame and in the one before, as in
//! JBIG (ITU-T T.82) with a second image. Frames and rows that repeat, and cells amid points that are all alike, take one
//! decision each: most of land, of the outside of a scan, of calm.

use super::{marked, word, ONES, WORD};
use crate::chunk::Frames;
use crate::entropy::binary::{Chance, Decide, Decoder, Encoder};
use crate::error::{Error, Result};
use crate::scratch::Buffer;

/// Neighbours that a mark's context knows: five of its frame, five of the reference.
const NEIGHBOURS: u32 = 10;
/// What the reference can be: none, another level of the same step, the step before.
const REFERENCES: usize = 3;
/// Points beside a row in its copy, so that neighbours and whole words can be read at its ends.
const MARGIN: usize = WORD;

/// Marks of 1, of points marked in `within` only, if that is given, as bytes.
pub fn encode(marks: &[u8], within: Option<&[u8]>, frames: &Frames) -> Vec<u8> {
    let mut own = Buffer::of(marks, |m| u8::from(m != 0));
    let mut encoder = Encoder::default();
    walk(&mut encoder, &mut own, within, frames);
    encoder.finish()
}

/// Inverse of [`encode`].
///
/// # Errors
/// Too many bytes.
pub fn decode(bytes: &[u8], within: Option<&[u8]>, frames: &Frames) -> Result<Buffer<u8>> {
    // All of them are decided.
    let mut own = Buffer::arbitrary(frames.count() * frames.area());
    let mut decoder = Decoder::new(bytes);
    walk(&mut decoder, &mut own, within, frames);
    if !decoder.is_done() {
        return Err(Error::corruption("a mask has more bytes than it takes"));
    }
    Ok(own)
}

/// What was decided so far.
struct Chances {
    frames: [Chance; REFERENCES],
    /// By whether the row before was repeated.
    rows: [[Chance; 2]; REFERENCES],
    /// By what is all around.
    cells: [[Chance; 2]; REFERENCES],
    points: Vec<[Chance; 1 << NEIGHBOURS]>,
}

/// A row with a margin on either side that continues it.
#[derive(Clone)]
struct Padded(Vec<u8>);

impl Padded {
    fn new(width: usize) -> Self {
        Self(vec![0; width + 3 * MARGIN])
    }

    fn set(&mut self, row: &[u8]) {
        let (first, last) = (row[0], row[row.len() - 1]);
        self.0[..MARGIN].fill(first);
        self.0[MARGIN..][..row.len()].copy_from_slice(row);
        self.0[MARGIN + row.len()..].fill(last);
    }

    /// Point x.
    #[inline(always)]
    fn point(&self, x: usize) -> usize {
        usize::from(self.0[MARGIN + x])
    }

    /// The point left of point x, and the one before it.
    #[inline(always)]
    fn left(&self, x: usize) -> [u8; 2] {
        [self.0[MARGIN + x - 1], self.0[MARGIN + x - 2]]
    }

    /// Eight points from point x on.
    #[inline(always)]
    fn cell(&self, x: usize) -> [u8; WORD] {
        self.0[MARGIN + x..].first_chunk().copied().unwrap_or_default()
    }

    /// All of the cell at x and of the points beside it: what any and what each of them has.
    #[inline(always)]
    fn around(&self, x: usize) -> (u64, u64) {
        let part = |from: usize| self.0[from..].first_chunk().map_or(0, word);
        let (left, right) = (part(MARGIN + x - 1), part(MARGIN + x + 1));
        (left | right, left & right)
    }
}

/// Decides all marks of `own`, whose frames become what was decided.
fn walk(coder: &mut impl Decide, own: &mut [u8], within: Option<&[u8]>, frames: &Frames) {
    let (area, width) = (frames.area(), frames.width);
    let mut chances = Chances {
        frames: Default::default(),
        rows: Default::default(),
        cells: Default::default(),
        points: vec![[Chance::default(); 1 << NEIGHBOURS]; REFERENCES],
    };
    let mut rows = Rows {
        above: Padded::new(width),
        own: Padded::new(width),
        reference: std::array::from_fn(|_| Padded::new(width)),
    };
    for frame in 0..frames.count() {
        let (before, rest) = own.split_at_mut(frame * area);
        let own = &mut rest[..area];
        let within = within.map(|w| &w[frame * area..][..area]);
        let (reference, kind) = match (frame.checked_sub(frames.levels), frame.checked_sub(1)) {
            (Some(step), _) => (Some(step), 2),
            (None, Some(level)) => (Some(level), 1),
            (None, None) => (None, 0),
        };
        let reference = reference.map(|f| &before[f * area..][..area]);
        if let Some(reference) = reference {
            if repeats(coder, &mut chances.frames[kind], own, reference, within) {
                continue;
            }
        }
        let mut repeated = false;
        for y in 0..frames.height {
            let at = |y: usize| y * width..(y + 1) * width;
            let inside = within.map(|w| &w[at(y)]);
            let here = reference.map(|r| &r[at(y)]);
            if let Some(here) = here {
                repeated = repeats(
                    coder,
                    &mut chances.rows[kind][usize::from(repeated)],
                    &mut own[at(y)],
                    here,
                    inside,
                );
                if repeated {
                    continue;
                }
            }
            match (y.checked_sub(1), here) {
                (Some(above), _) => rows.above.set(&own[at(above)]),
                (None, Some(here)) => rows.above.set(here),
                (None, None) => rows.above.0.fill(0),
            }
            for (dy, row) in rows.reference.iter_mut().enumerate() {
                match reference {
                    Some(r) => row.set(&r[at((y + dy).saturating_sub(1).min(frames.height - 1))]),
                    None => row.clone_from(&rows.above),
                }
            }
            rows.decide(coder, &mut chances.cells[kind], &mut chances.points[kind], &mut own[at(y)], inside);
        }
    }
}

/// Decides whether marks repeat those of the reference, as far as they can, and if they do makes them.
fn repeats(
    coder: &mut impl Decide,
    chance: &mut Chance,
    own: &mut [u8],
    reference: &[u8],
    within: Option<&[u8]>,
) -> bool {
    let yes = coder.decide(chance, || match within {
        None => own == reference,
        Some(within) => own.iter().zip(reference).zip(within).all(|((o, r), w)| *o == r & u8::from(*w != 0)),
    });
    if yes {
        own.copy_from_slice(reference);
        if let Some(within) = within {
            own.iter_mut().zip(within).for_each(|(o, w)| *o &= u8::from(*w != 0));
        }
    }
    yes
}

/// The rows around a row, and itself as far as it is decided.
struct Rows {
    above: Padded,
    own: Padded,
    /// Those of the reference, one up to one down; where there is none, the row above.
    reference: [Padded; 3],
}

impl Rows {
    /// Decides a row.
    fn decide(
        &mut self,
        coder: &mut impl Decide,
        cells: &mut [Chance; 2],
        points: &mut [Chance; 1 << NEIGHBOURS],
        row: &mut [u8],
        within: Option<&[u8]>,
    ) {
        let Self { above, own, reference } = self;
        own.0[..MARGIN].fill(above.0[MARGIN]);
        for (i, cell) in row.chunks_mut(WORD).enumerate() {
            let x = i * WORD;
            let mut room = [1; WORD];
            if let Some(within) = within {
                room[..cell.len()].copy_from_slice(&within[x..x + cell.len()]);
                room = marked(word(&room)).to_le_bytes();
            }
            let left = own.left(x);
            let (mut any, mut all) = above.around(x);
            for row in &*reference {
                let (a, b) = row.around(x);
                (any, all) = (any | a, all & b);
            }
            let alike = match left {
                [0, 0] if any == 0 => Some(0),
                [1, 1] if all == ONES => Some(1),
                _ => None,
            };
            let known = if room[..cell.len()].iter().all(|r| *r == 0) {
                Some(0)
            } else {
                alike.filter(|&value| {
                    let actual = || cell.iter().zip(room).all(|(m, r)| *m == value & r);
                    coder.decide(&mut cells[usize::from(value)], actual)
                })
            };
            match known {
                Some(value) => cell.iter_mut().zip(room).for_each(|(mark, room)| *mark = value & room),
                None => {
                    let [up, here, down] = &*reference;
                    // The last two marks, and the two points of the others that the window has seen.
                    let mut last = usize::from(left[0] | left[1] << 1);
                    let before = |row: &Padded| usize::from(row.left(x)[0]) | row.point(x) << 1;
                    let (mut a, mut h) = (before(above), before(here));
                    let next = above.cell(x + 1).into_iter().zip(here.cell(x + 1));
                    let beside = up.cell(x).into_iter().zip(down.cell(x));
                    for (((mark, room), (a_next, h_next)), (up, down)) in
                        cell.iter_mut().zip(room).zip(next).zip(beside)
                    {
                        a |= usize::from(a_next) << 2;
                        h |= usize::from(h_next) << 2;
                        let context = last | a << 2 | h << 5 | usize::from(up) << 8 | usize::from(down) << 9;
                        *mark = match room {
                            0 => 0,
                            _ => u8::from(coder.decide(&mut points[context], || *mark != 0)),
                        };
                        last = (last << 1 | usize::from(*mark)) & 3;
                        (a, h) = (a >> 1, h >> 1);
                    }
                }
            }
            own.0[MARGIN + x..][..cell.len()].copy_from_slice(cell);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Discs that move, some points of them missing.
    fn discs(frames: &Frames, missing: u32) -> Vec<u8> {
        let (h, w) = (frames.height as i64, frames.width as i64);
        (0..frames.count() * frames.area())
            .map(|i| {
                let (f, y, x) = (i as i64 / (h * w), i as i64 / w % h, i as i64 % w);
                let t = f / frames.levels as i64;
                let hit = |cy: i64, cx: i64, r: i64| (y - cy).pow(2) + (x - cx).pow(2) < r * r;
                let on = hit(9 + t, 9, 7) || hit(20, 30 + t / 2, 5 + f % frames.levels as i64);
                u8::from(on && (missing == 0 || (i as u32).wrapping_mul(2_654_435_769) >> 8 > missing))
            })
            .collect()
    }

    proptest! {
        #[test]
        fn marks_come_back(steps in 1usize..4, levels in 1usize..3, height in 1usize..30, width in 1usize..45, missing in 0u32..1 << 24, seed in any::<u8>()) {
            let frames = Frames { steps, levels, height, width };
            let marks = discs(&frames, missing);
            let bytes = encode(&marks, None, &frames);
            prop_assert_eq!(&decode(&bytes, None, &frames).unwrap()[..], &marks[..]);
            // Some of the marked ones, whatever the rest is.
            let part: Vec<u8> = marks.iter().enumerate().map(|(i, m)| m & u8::from((i / 7) as u8 & 1 == seed & 1)).collect();
            let bytes = encode(&part, Some(&marks), &frames);
            prop_assert_eq!(&decode(&bytes, Some(&marks), &frames).unwrap()[..], &part[..]);
        }

        #[test]
        fn any_bytes_are_marks_where_they_may_be(bytes in prop::collection::vec(any::<u8>(), 0..40), within in prop::collection::vec(0u8..2, 60)) {
            let frames = Frames { steps: 2, levels: 1, height: 3, width: 10 };
            if let Ok(marks) = decode(&bytes, Some(&within), &frames) {
                prop_assert!(marks.iter().zip(&within).all(|(m, w)| m <= w));
            }
        }
    }

    #[test]
    fn marks_that_stay_or_move_cost_little() {
        let frames = Frames { steps: 16, levels: 2, height: 40, width: 60 };
        let moving = discs(&frames, 0);
        let bytes = encode(&moving, None, &frames).len();
        assert!(bytes < 500, "{bytes} bytes for discs that move");
        let still: Vec<u8> = (0..16).flat_map(|_| moving[..2 * frames.area()].to_vec()).collect();
        let (first, all) = (
            encode(&still[..2 * frames.area()], None, &Frames { steps: 1, ..frames }).len(),
            encode(&still, None, &frames).len(),
        );
        assert!(all < first + 8, "{first} bytes for a step, {all} for sixteen that are the same");
        assert!(encode(&vec![0; moving.len()], None, &frames).len() < 8);
    }
}
