//! Rows of words seen as the values in them.
//!
//! In what order the values of a word then follow each other depends on the machine, which is the same for all rows of one
//! type: right for what is done to each value alone.

macro_rules! view {
    ($name:ident, $name_mut:ident, $t:ty) => {
        /// The values in words.
        pub fn $name(words: &[u32]) -> &[$t] {
            let len = words.len() * 4 / size_of::<$t>();
            // SAFETY: the same bytes, any of which make integers, for which the address is aligned.
            unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), len) }
        }

        /// The values in words.
        pub fn $name_mut(words: &mut [u32]) -> &mut [$t] {
            let len = words.len() * 4 / size_of::<$t>();
            // SAFETY: the same bytes, any of which make integers and words, for which the address is aligned.
            unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), len) }
        }
    };
}

view!(bytes, bytes_mut, i8);
view!(halves, halves_mut, i16);
