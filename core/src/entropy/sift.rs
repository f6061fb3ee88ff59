//! Sorting bytes by class and back.

use super::quiet::CLASSES;

/// Classifies contexts by a table and puts each behind the others of its class (below CLASSES); returns how many there
/// are of each. The lists have room for all bytes and 64 more.
pub fn classify(
    table: &[u8; 256],
    contexts: &[u8],
    classes: &mut [u8],
    lists: &mut [Vec<u8>; CLASSES],
) -> [usize; CLASSES] {
    #[cfg(target_arch = "x86_64")]
    {
        if crate::machine::compresses_bytes() {
            return super::wide_sift::classify(table, contexts, classes, lists);
        }
        if super::narrow_sift::available() {
            return super::narrow_sift::classify(table, contexts, classes, lists);
        }
    }
    classify_scalar(table, contexts, classes, lists)
}

/// Puts each byte behind the others of its class, as [`classify`] does with contexts.
pub fn split(classes: &[u8], bytes: &[u8], lists: &mut [Vec<u8>; CLASSES]) {
    #[cfg(target_arch = "x86_64")]
    {
        if crate::machine::compresses_bytes() {
            return super::wide_sift::split(classes, bytes, lists);
        }
        if super::narrow_sift::available() {
            super::narrow_sift::split(classes, bytes, lists);
            return;
        }
    }
    split_scalar(classes, bytes, lists);
}

/// Inverse of [`split`]; the lists have room as there.
pub fn join(classes: &[u8], lists: &[Vec<u8>; CLASSES], bytes: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    {
        if crate::machine::compresses_bytes() {
            return super::wide_sift::join(classes, lists, bytes);
        }
        if super::narrow_sift::available() {
            return super::narrow_sift::join(classes, lists, bytes);
        }
    }
    join_scalar(classes, lists, bytes);
}

/// Bytes that are looked at together: they are often the same.
const FEW: usize = 8;

/// The first of these bytes, if all are the same.
fn uniform(bytes: &[u8; FEW]) -> Option<u8> {
    (u64::from_le_bytes(*bytes) == u64::from(bytes[0]).wrapping_mul(0x0101_0101_0101_0101))
        .then_some(bytes[0])
}

/// Puts a byte behind the others of its class.
#[inline(always)]
pub fn append(lists: &mut [&mut [u8]; CLASSES], counts: &mut [usize; CLASSES], class: u8, byte: u8) {
    let class = usize::from(class) % CLASSES;
    lists[class][counts[class]] = byte;
    counts[class] += 1;
}

/// Takes the next byte of a class.
#[inline(always)]
pub fn take(lists: &[&[u8]; CLASSES], counts: &mut [usize; CLASSES], class: u8) -> u8 {
    let class = usize::from(class) % CLASSES;
    let byte = lists[class][counts[class]];
    counts[class] += 1;
    byte
}

/// This defines what [`classify`] does.
pub fn classify_scalar(
    table: &[u8; 256],
    contexts: &[u8],
    classes: &mut [u8],
    lists: &mut [Vec<u8>; CLASSES],
) -> [usize; CLASSES] {
    let mut counts = [0; CLASSES];
    let mut lists = lists.each_mut().map(|l| &mut l[..]);
    for (context, class) in contexts.chunks(FEW).zip(classes.chunks_mut(FEW)) {
        if let Some((all, same)) = context.first_chunk().and_then(|c| Some((c, uniform(c)?))) {
            class.fill(table[usize::from(same)]);
            let class = usize::from(table[usize::from(same)]) % CLASSES;
            lists[class][counts[class]..][..FEW].copy_from_slice(all);
            counts[class] += FEW;
        } else {
            for (context, class) in context.iter().zip(class) {
                *class = table[usize::from(*context)];
                append(&mut lists, &mut counts, *class, *context);
            }
        }
    }
    counts
}

/// This defines what [`split`] does.
pub fn split_scalar(classes: &[u8], bytes: &[u8], lists: &mut [Vec<u8>; CLASSES]) {
    let mut counts = [0; CLASSES];
    let mut lists = lists.each_mut().map(|l| &mut l[..]);
    for (c, b) in classes.chunks(FEW).zip(bytes.chunks(FEW)) {
        if let Some(class) = c.first_chunk().and_then(uniform) {
            let class = usize::from(class) % CLASSES;
            lists[class][counts[class]..][..FEW].copy_from_slice(b);
            counts[class] += FEW;
        } else {
            for (c, b) in c.iter().zip(b) {
                append(&mut lists, &mut counts, *c, *b);
            }
        }
    }
}

/// This defines what [`join`] does.
pub fn join_scalar(classes: &[u8], lists: &[Vec<u8>; CLASSES], bytes: &mut [u8]) {
    let mut counts = [0; CLASSES];
    let lists = lists.each_ref().map(|l| &l[..]);
    for (c, b) in classes.chunks(FEW).zip(bytes.chunks_mut(FEW)) {
        if let Some(class) = c.first_chunk().and_then(uniform) {
            let class = usize::from(class) % CLASSES;
            b.copy_from_slice(&lists[class][counts[class]..][..FEW]);
            counts[class] += FEW;
        } else {
            for (c, b) in c.iter().zip(b) {
                *b = take(&lists, &mut counts, *c);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with_room(n: usize) -> [Vec<u8>; CLASSES] {
        std::array::from_fn(|_| vec![0; n + 64])
    }

    proptest! {
        #[test]
        fn bytes_come_back_in_order(
            runs in prop::collection::vec((0u8..20, 1usize..100), 0..20),
            noise in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut bytes: Vec<u8> = runs.iter().flat_map(|&(c, n)| vec![c; n]).collect();
            bytes.extend(noise);
            let table = std::array::from_fn(|i| (i * i % 7 % CLASSES) as u8);
            let (mut classes, mut classes_scalar) = (vec![9; bytes.len()], vec![9; bytes.len()]);
            let (mut lists, mut lists_scalar) = (with_room(bytes.len()), with_room(bytes.len()));
            let counts = classify(&table, &bytes, &mut classes, &mut lists);
            let counts_scalar = classify_scalar(&table, &bytes, &mut classes_scalar, &mut lists_scalar);
            prop_assert_eq!(counts, counts_scalar);
            let expected: Vec<u8> = bytes.iter().map(|&b| table[usize::from(b)]).collect();
            prop_assert_eq!(&classes, &expected);
            prop_assert_eq!(&classes_scalar, &expected);
            let (mut again, mut again_scalar) = (with_room(bytes.len()), with_room(bytes.len()));
            split(&classes, &bytes, &mut again);
            split_scalar(&classes, &bytes, &mut again_scalar);
            for (q, n) in counts.into_iter().enumerate() {
                let list: Vec<u8> =
                    bytes.iter().copied().filter(|&b| usize::from(table[usize::from(b)]) == q).collect();
                for l in [&lists, &lists_scalar, &again, &again_scalar] {
                    prop_assert_eq!(&l[q][..n], &list[..]);
                }
            }
            let (mut back, mut scalar) = (vec![0; bytes.len()], vec![0; bytes.len()]);
            join(&classes, &lists, &mut back);
            join_scalar(&classes, &lists, &mut scalar);
            prop_assert_eq!(&back, &bytes);
            prop_assert_eq!(&scalar, &bytes);
        }
    }
}
