//! Weight classes: which points of a chunk share weights, in which order these are sent, and what they say of each class.

use super::plane::{levels, phase_size};
use super::taps::{Kind, Tap, PASSES};
use super::weights::{Sent, Tying};
use crate::chunk::Frames;
use crate::reference::{Step, CLASSES};

/// Weight classes per class of references: three kinds at three groups of spacings, and the roots.
pub const SLOTS: usize = 10;
/// Slot of the roots.
pub const ROOT_SLOT: usize = 9;

/// Slot of a pass over the lattice of the given level (spacing 2^level).
pub fn slot(kind: Kind, level: usize) -> usize {
    match kind {
        Kind::Centre => 3 * level.min(2),
        Kind::Vertical => 3 * level.min(2) + 1,
        Kind::Horizontal => 3 * level.min(2) + 2,
        Kind::Root => ROOT_SLOT,
    }
}

/// Kind of the points of a slot.
pub fn slot_kind(slot: usize) -> Kind {
    if slot == ROOT_SLOT {
        Kind::Root
    } else {
        PASSES[slot % 3]
    }
}

/// Index of a weight class.
pub fn class_index(class: usize, slot: usize) -> usize {
    class * SLOTS + slot
}

/// Number of references of each class in this coding order; `None` for classes that do not occur.
pub fn class_references(plan: &[Step]) -> [Option<usize>; CLASSES] {
    let mut out = [None; CLASSES];
    for s in plan {
        out[s.class] = Some(s.reference_count());
    }
    out
}

/// A weight class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    /// Class of references.
    pub class: usize,
    /// Slot.
    pub slot: usize,
    /// Number of references.
    pub references: usize,
}

/// The weight classes that a coding order uses, in the order in which they are sent.
pub fn sent_classes(plan: &[Step]) -> Vec<Class> {
    let mut out = vec![];
    for (class, references) in class_references(plan).into_iter().enumerate() {
        let Some(references) = references else { continue };
        for slot in 0..SLOTS {
            if slot != ROOT_SLOT || references > 0 {
                out.push(Class { class, slot, references });
            }
        }
    }
    out
}

/// Taps with their weights.
pub type WeightedTaps = Vec<(Tap, i32)>;

/// The taps of each class that these weights give, by class index.
pub fn weighted_taps(plan: &[Step], sent: &[Sent], shift: u32) -> Vec<WeightedTaps> {
    let mut taps = vec![vec![]; CLASSES * SLOTS];
    let mut last: Vec<((Kind, usize), &Sent)> = vec![];
    for (class, s) in sent_classes(plan).into_iter().zip(sent) {
        let kind = slot_kind(class.slot);
        let key = (kind, class.references);
        let effective = match s.tying {
            Tying::Repeat => last.iter().rev().find(|l| l.0 == key).map_or(s, |l| l.1),
            _ => s,
        };
        taps[class_index(class.class, class.slot)] = effective.expand(kind, class.references, shift);
        if !matches!(s.tying, Tying::Default | Tying::Repeat) {
            last.push((key, effective));
        }
    }
    taps
}

/// The levels, of `count`, whose passes belong to a slot.
pub fn slot_levels(slot: usize, count: usize) -> std::ops::Range<usize> {
    match slot {
        ROOT_SLOT => count - 1..count,
        _ if slot / 3 < 2 => (slot / 3).min(count)..(slot / 3 + 1).min(count),
        _ => 2.min(count)..count,
    }
}

/// Points of a frame that belong to a slot.
pub fn slot_points(frames: &Frames, slot: usize) -> f64 {
    slot_levels(slot, levels(frames.height, frames.width))
        .map(|level| {
            let lattice = (frames.height.div_ceil(1 << level), frames.width.div_ceil(1 << level));
            let (h, w) = phase_size(lattice, slot_kind(slot).phase());
            (h * w) as f64
        })
        .sum()
}
