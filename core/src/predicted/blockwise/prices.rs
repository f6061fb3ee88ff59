//! What residuals will cost, for the choice between the predictions of a block.

/// Bits of residuals: of their symbols' Huffman codes, about, as residuals before them tell. In 1/256.
pub struct Prices {
    counts: [u32; Self::CLASSES],
    /// Of the magnitudes below [`Self::TABLE`].
    table: [u32; Self::TABLE],
    /// Of the other classes.
    far: [u32; Self::CLASSES],
    since: usize,
}

impl Prices {
    /// Magnitudes that have a count of their own; larger ones share one for each power of two.
    const NEAR: u32 = 16;
    const CLASSES: usize = Self::NEAR as usize + 32;
    const TABLE: usize = 256;
    /// Residuals after which prices are made anew.
    const OFTEN: usize = 4096;

    /// As if small residuals had come most often.
    pub fn new() -> Self {
        let counts = std::array::from_fn(|k| 4096 >> k.min(12));
        let mut out = Self { counts, table: [0; Self::TABLE], far: [0; Self::CLASSES], since: 0 };
        out.renew();
        out
    }

    fn class(magnitude: u32) -> usize {
        if magnitude < Self::NEAR {
            magnitude as usize
        } else {
            Self::NEAR as usize + (magnitude.ilog2() - Self::NEAR.ilog2()) as usize
        }
    }

    fn renew(&mut self) {
        let sum: u32 = self.counts.iter().sum();
        for ((k, bits), count) in (0u32..).zip(&mut self.far).zip(&self.counts) {
            // Signs, and which of the magnitudes of a power of two it is.
            let more = match k {
                0 => 0,
                k if k < Self::NEAR => 1,
                k => 1 + Self::NEAR.ilog2() + k - Self::NEAR,
            };
            *bits = (256.0 * ((f64::from(sum) / f64::from(*count)).log2() + f64::from(more))) as u32;
        }
        self.table = std::array::from_fn(|m| self.far[Self::class(m as u32)]);
    }

    /// Of one residual.
    #[inline(always)]
    pub fn of(&self, q: i32) -> u32 {
        let magnitude = q.unsigned_abs();
        match self.table.get(magnitude as usize) {
            Some(price) => *price,
            None => self.far[Self::class(magnitude)],
        }
    }

    /// Counts the residuals of a block.
    pub fn learn(&mut self, residuals: &[i32]) {
        residuals.iter().for_each(|q| self.counts[Self::class(q.unsigned_abs())] += 1);
        self.since += residuals.len();
        if self.since >= Self::OFTEN {
            self.since = 0;
            self.renew();
            if self.counts[0] > 1 << 24 {
                self.counts.iter_mut().for_each(|c| *c = c.div_ceil(2));
            }
        }
    }
}
