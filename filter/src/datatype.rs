//! Which number type a dataset holds, from the datatype message that HDF5 encodes for it.
//!
//! The message ("IV.A.2.d. The Datatype Message" of the HDF5 file format specification) states every bit of
//! a type, and one function, `H5Tencode`, gives it; the functions that ask for single properties are missing
//! in programs that link HDF5 statically and do not call them themselves.

use crate::h5types::{Api, Hid};
use augur_core::{ByteOrder, Dtype, Error, Result};
use std::ptr;

/// What is told to users whose type cannot be coded.
const TYPES: &str =
    "expected float16, float32, float64 or integers of 8, 16 or 32 bits; leave this dataset to \
                     another filter (gzip, zstd)";
/// Bytes of `H5Tencode` before the message: the message's type and the encoding's version.
const PREFIX: [u8; 2] = [3, 0];
/// A description that is longer than this is refused unread.
const LONGEST: usize = 1 << 24;
/// The IEEE types: exponent's place and size, mantissa's place and size, bias.
const IEEE: [(Dtype, [u8; 4], u32); 3] = [
    (Dtype::F16, [10, 5, 0, 10], 15),
    (Dtype::F32, [23, 8, 0, 23], 127),
    (Dtype::F64, [52, 11, 0, 52], 1023),
];

/// Type and byte order of the values.
///
/// # Errors
/// `InvalidArgument` for a type that the codec does not know bit by bit.
///
/// # Safety
/// `id` is a datatype of the libhdf5 whose table `api` is.
pub unsafe fn read(api: &Api, id: Hid) -> Result<(Dtype, ByteOrder)> {
    let failed = || Error::invalid("the dataset's type cannot be read (H5Tencode failed)");
    let mut size = 0;
    // SAFETY: the caller's id; without a buffer the function only states the size.
    if unsafe { (api.H5Tencode)(id, ptr::null_mut(), &mut size) } < 0 || size > LONGEST {
        return Err(failed());
    }
    let mut bytes = vec![0u8; size];
    // SAFETY: the buffer has the size that is stated.
    if unsafe { (api.H5Tencode)(id, bytes.as_mut_ptr().cast(), &mut size) } < 0 {
        return Err(failed());
    }
    let message = bytes.strip_prefix(&PREFIX).ok_or_else(failed)?;
    parse(message)
}

/// Type and byte order that a datatype message states.
fn parse(message: &[u8]) -> Result<(Dtype, ByteOrder)> {
    let head =
        message.get(..8).ok_or_else(|| Error::invalid("the dataset's type is described incompletely"))?;
    let class = head[0] & 15;
    if class > 1 {
        return Err(Error::invalid(format!("the dataset holds {}; {TYPES}", class_name(class))));
    }
    let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    let bits = u64::from(size) * 8;
    let kind = if class == 1 { "floats" } else { "integers" };
    let properties = message
        .get(8..if class == 1 { 20 } else { 12 })
        .ok_or_else(|| Error::invalid("the dataset's type is described incompletely"))?;
    let half = |at: usize| u16::from_le_bytes([properties[at], properties[at + 1]]);
    let (offset, precision) = (half(0), half(2));
    if u64::from(precision) != bits || offset != 0 {
        return Err(Error::invalid(format!(
            "the dataset holds {kind} of {precision} bits at bit {offset} of {size} bytes; {TYPES}"
        )));
    }
    // Bit 0 is the order; bit 6 as well marks the mixed order of the VAX.
    let order = match (size, head[1] & 0x41) {
        (1, _) | (_, 0) => ByteOrder::Little,
        (_, 1) => ByteOrder::Big,
        _ => {
            return Err(Error::invalid(format!(
                "the dataset holds {kind} of mixed byte order (VAX); {TYPES}"
            )))
        }
    };
    if class == 0 {
        let dtype = match (size, head[1] & 8 != 0) {
            (1, true) => Dtype::I8,
            (1, false) => Dtype::U8,
            (2, true) => Dtype::I16,
            (2, false) => Dtype::U16,
            (4, true) => Dtype::I32,
            (4, false) => Dtype::U32,
            _ => return Err(Error::invalid(format!("the dataset holds integers of {bits} bits; {TYPES}"))),
        };
        return Ok((dtype, order));
    }
    let bias = u32::from(half(8)) | u32::from(half(10)) << 16;
    let implied = head[1] >> 4 & 3 == 2; // the leading bit of the mantissa is not stored
    let sign_on_top = u64::from(head[2]) + 1 == bits;
    IEEE.iter()
        .find(|t| implied && sign_on_top && t.1 == properties[4..8] && t.2 == bias && t.0.size() == size as usize)
        .map(|t| (t.0, order))
        .ok_or_else(|| {
            Error::invalid(format!(
                "the dataset holds floats of {bits} bits with {} bits of exponent (bias {bias}) and {} of mantissa, \
                 which is no IEEE type that Augur knows; {TYPES}",
                properties[5], properties[7]
            ))
        })
}

/// What a class of datatypes holds.
fn class_name(class: u8) -> &'static str {
    match class {
        2 => "times",
        3 => "strings",
        4 => "bit fields",
        5 => "opaque data",
        6 => "a compound type",
        7 => "references",
        8 => "an enumeration (h5py stores bool so)",
        9 => "sequences of variable length",
        10 => "arrays as elements",
        11 => "complex numbers",
        _ => "data of an unknown class",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// H5Tencode of H5T_IEEE_F32LE, without its prefix.
    const F32: [u8; 20] = [0x11, 0x20, 31, 0, 4, 0, 0, 0, 0, 0, 32, 0, 23, 8, 0, 23, 127, 0, 0, 0];

    fn integer(size: u8, flags: u8) -> [u8; 12] {
        [0x10, flags, 0, 0, size, 0, 0, 0, 0, 0, 8 * size, 0]
    }

    #[test]
    fn ieee_floats_and_full_integers_are_known() {
        assert_eq!(parse(&F32).unwrap(), (Dtype::F32, ByteOrder::Little));
        let mut big = F32;
        big[1] |= 1;
        assert_eq!(parse(&big).unwrap(), (Dtype::F32, ByteOrder::Big));
        assert_eq!(parse(&integer(2, 8)).unwrap(), (Dtype::I16, ByteOrder::Little));
        assert_eq!(parse(&integer(4, 1)).unwrap(), (Dtype::U32, ByteOrder::Big));
        assert_eq!(parse(&integer(1, 1)).unwrap(), (Dtype::U8, ByteOrder::Little));
    }

    #[test]
    fn every_other_description_is_refused_without_a_panic() {
        let bfloat = [0x11, 0x20, 15, 0, 2, 0, 0, 0, 0, 0, 16, 0, 7, 8, 0, 7, 127, 0, 0, 0];
        assert!(parse(&bfloat).unwrap_err().message().contains("8 bits of exponent"));
        assert!(parse(&integer(8, 8)).unwrap_err().message().contains("64 bits"));
        let mut vax = F32;
        vax[1] |= 0x41;
        assert!(parse(&vax).unwrap_err().message().contains("VAX"));
        let mut short = integer(4, 8);
        short[10] = 17;
        assert!(parse(&short).unwrap_err().message().contains("17 bits"));
        for n in 0..F32.len() {
            assert!(parse(&F32[..n]).is_err(), "{n} bytes");
        }
        for class in 2..16 {
            let mut other = F32;
            other[0] = 0x10 | class;
            assert!(parse(&other).unwrap_err().message().contains("expected float16"));
        }
        for at in [3usize, 9, 11] {
            let mut odd = F32;
            odd[at] = 1;
            assert_eq!(parse(&odd).is_ok(), at == 3, "byte {at}");
        }
    }
}
