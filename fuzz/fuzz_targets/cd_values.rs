//! Any words as cd_values: refused, or read and written back as the same; and with a chunk behind them: whatever the words
//! say, what was encoded with them decodes with them.
#![no_main]

use augur_filter::cd_values::CdValues;
use augur_filter::chunk;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (head, raw) = bytes.split_at(bytes.len().min(64));
    let mut words: Vec<u32> =
        head.chunks_exact(4).map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]])).collect();
    let expanded = match CdValues::from_words(&words) {
        Ok(CdValues::User(settings)) => {
            let again = settings.to_words().expect("settings that were read can be written");
            assert_eq!(CdValues::from_words(&again), Ok(CdValues::User(settings)));
            None
        }
        Ok(CdValues::Expanded(expanded)) => {
            let again = expanded.to_words().expect("expanded words that were read can be written");
            assert_eq!(CdValues::from_words(&again), Ok(CdValues::Expanded(expanded.clone())));
            Some(expanded)
        }
        Err(_) => None,
    };
    // The chunk that the words describe, where it is small; otherwise whatever bytes there are.
    let mut raw = raw.to_vec();
    if let Some(n) = expanded.as_ref().and_then(|e| e.raw_len()).filter(|n| *n <= 1 << 14) {
        raw = raw.into_iter().chain(std::iter::repeat(0)).take(n).collect();
    }
    if !raw.is_empty() {
        let tail = |_: &augur_filter::Expanded| 0;
        let stream = chunk::encode(&words, Some(&tail), &raw, 1).expect("a chunk is always stored somehow");
        assert_ne!(stream.len(), raw.len());
        let (decoded, _) = chunk::decode(&words, &stream, 1).expect("what was stored can be read");
        assert_eq!(decoded.len(), raw.len());
        // As bytes of a stream: an error or a chunk.
        let _ = chunk::decode(&words, &raw, 1);
    }
    // An expanded form that loses its last words is refused.
    if let (Some(_), Some(_)) = (expanded, words.pop()) {
        assert!(CdValues::from_words(&words).is_err());
    }
});
