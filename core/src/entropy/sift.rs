//! Sorting bytes by class and back.

use super::quiet::CLASSES;

/// class of each context by a table.
pub fn classify(table: &[u8; 256], contexts: &[u8], classes: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if super::wide_sift::available() {
        return super::wide_sift::classify(table, contexts, classes);
    }
    classify_scalar(table, contexts, classes);
}

/// Puts each byte behind the others of its class (below CLASSES); returns how many there are of each. The lists have room
/// for all bytes and 64 more.
pub fn split(classes: &[u8], bytes: &[u8], lists: &mut [Vec<u8>; CLASSES]) -> [usize; CLASSES] {
    #[cfg(target_arch = "x86_64")]
    if super::wide_sift::available() {
        return super::wide_sift::split(classes, bytes, lists);
    }
    split_scalar(classes, bytes, lists)
}

/// Inverse of [`split`]; the lists have room as there.
pub fn join(classes: &[u8], lists: &[Vec<u8>; CLASSES], bytes: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if super::wide_sift::available() {
        return super::wide_sift::join(classes, lists, bytes);
    }
    join_scalar(classes, lists, bytes);
}

/// This defines what [`classify`] does.
pub fn classify_scalar(table: &[u8; 256], contexts: &[u8], classes: &mut [u8]) {
    for (class, &context) in classes.iter_mut().zip(contexts) {
        *class = table[usize::from(context)];
    }
}

/// Bytes that are looked at together: their classes are often the same.
const FEW: usize = 8;

/// The class of all of these, if they are of one.
fn uniform(classes: &[u8; FEW]) -> Option<usize> {
    let one = u64::from_le_bytes(*classes) == u64::from(classes[0]).wrapping_mul(0x0101_0101_0101_0101);
    one.then_some(usize::from(classes[0]) % CLASSES)
}

/// This defines what [`split`] does.
pub fn split_scalar(classes: &[u8], bytes: &[u8], lists: &mut [Vec<u8>; CLASSES]) -> [usize; CLASSES] {
    let mut counts = [0; CLASSES];
    for (c, b) in classes.chunks(FEW).zip(bytes.chunks(FEW)) {
        if let Some(class) = c.first_chunk().and_then(uniform) {
            let at = counts[class];
            lists[class][at..at + FEW].copy_from_slice(b);
            counts[class] += FEW;
        } else {
            for (c, b) in c.iter().zip(b) {
                let class = usize::from(*c) % CLASSES;
                lists[class][counts[class]] = *b;
                counts[class] += 1;
            }
        }
    }
    counts
}

/// This defines what [`join`] does.
pub fn join_scalar(classes: &[u8], lists: &[Vec<u8>; CLASSES], bytes: &mut [u8]) {
    let mut counts = [0; CLASSES];
    let few = classes.chunks(FEW).zip(bytes.chunks_mut(FEW));
    for (c, b) in few {
        if let Some(class) = c.first_chunk().and_then(uniform) {
            let at = counts[class];
            b.copy_from_slice(&lists[class][at..at + FEW]);
            counts[class] += FEW;
        } else {
            for (c, b) in c.iter().zip(b) {
                let class = usize::from(*c) % CLASSES;
                *b = lists[class][counts[class]];
                counts[class] += 1;
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
            runs in prop::collection::vec((0u8..CLASSES as u8, 1usize..100), 0..20),
            noise in prop::collection::vec((0u8..CLASSES as u8, any::<u8>()), 0..200),
        ) {
            let mut classes: Vec<u8> = runs.iter().flat_map(|&(c, n)| vec![c; n]).collect();
            classes.extend(noise.iter().map(|p| p.0));
            let bytes: Vec<u8> = (0..classes.len()).map(|i| (i * i / 3) as u8).collect();
            let mut lists = with_room(bytes.len());
            let counts = split(&classes, &bytes, &mut lists);
            let mut expected = with_room(bytes.len());
            prop_assert_eq!(counts, split_scalar(&classes, &bytes, &mut expected));
            for q in 0..CLASSES {
                let list: Vec<u8> =
                    classes.iter().zip(&bytes).filter(|(c, _)| usize::from(**c) == q).map(|(_, b)| *b).collect();
                prop_assert_eq!(&lists[q][..counts[q]], &list[..]);
                prop_assert_eq!(&expected[q][..counts[q]], &list[..]);
            }
            let (mut back, mut scalar) = (vec![0; bytes.len()], vec![0; bytes.len()]);
            join(&classes, &lists, &mut back);
            join_scalar(&classes, &lists, &mut scalar);
            prop_assert_eq!(&back, &bytes);
            prop_assert_eq!(&scalar, &bytes);
        }

        #[test]
        fn classes_are_looked_up(table in prop::collection::vec(0u8..4, 256), contexts in prop::collection::vec(any::<u8>(), 0..200)) {
            let table: [u8; 256] = table.try_into().unwrap();
            let (mut wide, mut scalar) = (vec![0; contexts.len()], vec![0; contexts.len()]);
            classify(&table, &contexts, &mut wide);
            classify_scalar(&table, &contexts, &mut scalar);
            prop_assert_eq!(wide, scalar);
        }
    }
}
