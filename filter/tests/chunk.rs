//! Chunks through the filter's encoder and decoder, as HDF5 drives them, with every kind of cd_values.

use augur_core::{Bound, ByteOrder, Dtype, Header};
use augur_filter::cd_values::{Expanded, Settings};
use augur_filter::chunk::{decode, encode, Tail};
use augur_filter::Fill;

/// Datasets whose last chunk is full.
const FULL: Option<Tail> = Some(&|_| 0);

fn expanded(dtype: Dtype, shape: &[usize], bound: Bound) -> Expanded {
    Expanded {
        settings: Settings::new(bound),
        own_fill: Some([0; 8]),
        dtype,
        order: ByteOrder::Little,
        shape: shape.to_vec(),
        time_axis: 0,
        preceded: false,
        nonce: 7,
    }
}

/// A smooth field of shape (8, 20, 30), moving.
fn field() -> Vec<f32> {
    let point = |i: usize| {
        let (t, y, x) = (i / 600, i / 30 % 20, i % 30);
        ((x as f32 + 0.7 * t as f32) * 0.3).sin() + (y as f32 * 0.2).cos() * 2.0 + 5.0
    };
    (0..4800).map(point).collect()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn worst(raw: &[u8], values: &[f32]) -> f32 {
    let pairs = raw.chunks_exact(4).zip(values);
    pairs.map(|(b, v)| (f32::from_le_bytes(b.try_into().expect("4 bytes")) - v).abs()).fold(0.0, f32::max)
}

#[test]
fn a_typed_chunk_keeps_its_bound_in_both_byte_orders() {
    let mut e = expanded(Dtype::F32, &[8, 20, 30], Bound::Absolute(1e-2));
    let values = field();
    let stream = encode(&e.to_words().unwrap(), FULL, &bytes(&values), 1).unwrap();
    assert_eq!(Header::read(&stream).unwrap().0.shape, [8, 20, 30]);
    let (raw, room) = decode(&e.to_words().unwrap(), &stream, 1).unwrap();
    assert_eq!(room, 19200);
    assert!(worst(&raw, &values) <= 1e-2);

    e.order = ByteOrder::Big;
    let swapped: Vec<u8> = values.iter().flat_map(|v| v.to_be_bytes()).collect();
    let stream = encode(&e.to_words().unwrap(), FULL, &swapped, 1).unwrap();
    let (mut raw, _) = decode(&e.to_words().unwrap(), &stream, 1).unwrap();
    raw.chunks_exact_mut(4).for_each(<[u8]>::reverse);
    assert!(worst(&raw, &values) <= 1e-2);
}

#[test]
fn bytes_after_another_filter_come_back_exactly_whatever_their_number() {
    let mut e = expanded(Dtype::F32, &[8, 20, 30], Bound::Absolute(1e-2));
    e.preceded = true;
    let words = e.to_words().unwrap();
    for n in [1usize, 100, 19199, 19200, 19204] {
        let input: Vec<u8> = (0..n).map(|i| ((i * i) >> 4) as u8).collect();
        let stream = encode(&words, FULL, &input, 1).unwrap();
        assert_ne!(stream.len(), n);
        assert_eq!(decode(&words, &stream, 1).unwrap(), (input, 0));
    }
}

#[test]
fn without_trusted_words_everything_is_lossless() {
    let words = expanded(Dtype::F32, &[8, 20, 30], Bound::Absolute(1.0)).to_words().unwrap();
    let input = bytes(&field());
    let user = Settings::new(Bound::Absolute(1.0)).to_words().unwrap();
    for (given, trusted) in [(&words[..], None), (&user[..], FULL), (&[][..], FULL), (&[99, 1][..], FULL)] {
        let stream = encode(given, trusted, &input, 1).unwrap();
        assert_eq!(decode(given, &stream, 1).unwrap().0, input);
        // Such a chunk stays readable whatever the words say of the dataset.
        assert_eq!(decode(&words, &stream, 1).unwrap().0, input);
    }
}

#[test]
fn a_chunk_of_another_size_than_the_words_say_is_stored_whole_and_read_into_room_for_both() {
    let words = expanded(Dtype::F32, &[8, 20, 30], Bound::Absolute(1.0)).to_words().unwrap();
    let input = vec![7u8; 1000];
    let stream = encode(&words, FULL, &input, 1).unwrap();
    assert_eq!(decode(&words, &stream, 1).unwrap(), (input, 19200));
}

#[test]
fn a_stream_of_another_dataset_is_refused_with_both_descriptions() {
    let input = bytes(&field());
    let mine = expanded(Dtype::F32, &[8, 20, 30], Bound::Lossless);
    let other = [
        expanded(Dtype::F32, &[8, 30, 20], Bound::Lossless),
        expanded(Dtype::U32, &[8, 20, 30], Bound::Lossless),
        expanded(Dtype::U8, &[19200], Bound::Lossless),
        Expanded { order: ByteOrder::Big, ..mine.clone() },
        Expanded { preceded: true, ..mine.clone() },
    ];
    for other in other {
        for (from, to) in [(&mine, &other), (&other, &mine)] {
            let stream = encode(&from.to_words().unwrap(), FULL, &input, 1).unwrap();
            let e = decode(&to.to_words().unwrap(), &stream, 1).unwrap_err();
            assert!(e.message().contains("written for another dataset"), "{e}");
        }
    }
}

#[test]
fn a_stream_is_readable_without_its_words() {
    let input = bytes(&field());
    let words = expanded(Dtype::F32, &[8, 20, 30], Bound::Lossless).to_words().unwrap();
    let stream = encode(&words, FULL, &input, 1).unwrap();
    assert_eq!(decode(&[], &stream, 1).unwrap().0, input);
    let mut newer = words;
    newer[0] = newer[0] & !0xff | 200;
    assert_eq!(decode(&newer, &stream, 1).unwrap().0, input);
}

#[test]
fn a_users_fill_value_reaches_the_codec_in_the_datasets_type() {
    let mut e = expanded(Dtype::I16, &[4, 5], Bound::Absolute(2.0));
    e.settings.fill = Some(Fill::value(-999.0));
    e.order = ByteOrder::Big;
    let params = e.params(2, 3).unwrap();
    assert_eq!(params.fill, Some([0xfc, 0x19, 0, 0, 0, 0, 0, 0]));
    assert_eq!((params.threads, params.tail, params.order), (3, 2, ByteOrder::Big));
    e.settings.fill = None;
    assert_eq!(e.params(0, 1).unwrap().fill, Some([0; 8]), "the dataset's own");
}

#[test]
fn hostile_streams_are_errors() {
    let words = expanded(Dtype::F32, &[8, 20, 30], Bound::Absolute(1e-2)).to_words().unwrap();
    let stream = encode(&words, FULL, &bytes(&field()), 1).unwrap();
    for n in (0..stream.len()).step_by(7) {
        assert!(decode(&words, &stream[..n], 1).is_err(), "cut to {n}");
    }
    for at in 0..stream.len().min(200) {
        let mut bad = stream.clone();
        bad[at] ^= 0x10;
        assert!(decode(&words, &bad, 1).is_err(), "byte {at}");
        assert!(decode(&[], &bad, 1).is_err(), "byte {at}");
    }
}

#[test]
fn the_tail_is_asked_of_partly_filled_chunks_and_makes_them_smaller() {
    let mut values = field();
    let asked = std::cell::Cell::new(0);
    let tail = |steps: usize| {
        let asked = &asked;
        move |_: &Expanded| {
            asked.set(asked.get() + 1);
            steps
        }
    };
    let words = expanded(Dtype::F32, &[8, 20, 30], Bound::Absolute(1e-2)).to_words().unwrap();
    encode(&words, Some(&tail(5)), &bytes(&values), 1).unwrap();
    assert_eq!(asked.get(), 0, "a full chunk");
    values[5 * 600..].fill(0.0);
    let complete = encode(&words, Some(&tail(5)), &bytes(&values), 1).unwrap();
    let growing = encode(&words, Some(&tail(0)), &bytes(&values), 1).unwrap();
    assert_eq!(asked.get(), 2);
    assert!(complete.len() < growing.len(), "{} and {} bytes", complete.len(), growing.len());
    for stream in [complete, growing] {
        let (raw, _) = decode(&words, &stream, 1).unwrap();
        assert!(worst(&raw, &values) <= 1e-2);
    }
}
