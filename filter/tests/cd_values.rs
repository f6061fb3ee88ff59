//! cd_values: round trips, refusals that name the word, and arbitrary words.

use augur_core::params::{KeyFrames, Selection, Windows};
use augur_core::{Bound, ByteOrder, Dtype, Preset};
use augur_filter::cd_values::{CdValues, Expanded, Settings, WORDS};
use augur_filter::Fill;
use proptest::prelude::*;

fn positive() -> impl Strategy<Value = f64> {
    (1e-300..1e300f64).prop_union(1e-6..10.0f64)
}

fn bound() -> impl Strategy<Value = Bound> {
    prop_oneof![
        Just(Bound::Lossless),
        positive().prop_map(Bound::Absolute),
        (positive(), proptest::option::of(positive()))
            .prop_map(|(rel, range)| Bound::Relative { rel, range }),
        (positive(), positive()).prop_map(|(abs, rel)| Bound::AbsRel { abs, rel }),
        (1e-9..0.9f64, 0.0..10.0f64).prop_map(|(rel, floor)| Bound::PointwiseRelative { rel, floor }),
        (1.0..1000.0f64).prop_map(Bound::Psnr),
    ]
}

fn windows() -> impl Strategy<Value = Windows> {
    let keys = prop_oneof![
        Just(KeyFrames::First),
        (2..=127u8).prop_map(KeyFrames::Every),
        (0..=124u32).prop_map(|k| KeyFrames::Beyond(2f64.powf(-0.25 * f64::from(k)))),
    ];
    (keys, 0..=7u8, any::<bool>()).prop_map(|(keys, warm_up, open_loop)| Windows { keys, warm_up, open_loop })
}

fn settings() -> impl Strategy<Value = Settings> {
    let model = proptest::option::of(any::<[u8; 16]>());
    let how = (0..9u8, windows(), model, any::<(bool, bool)>());
    (how, bound(), proptest::option::of(any::<u64>()), 0..16usize).prop_map(
        |((preset, windows, model, (strict, by_distance)), bound, fill, time_axis)| Settings {
            preset: Preset::from_code(preset).expect("a preset"),
            // Only some presets use models, only one has key frames, and two have blocks.
            model: model.filter(|m| preset >= 3 && *m != [0; 16]),
            strict: strict && preset >= 3,
            windows: if preset == 4 { windows } else { Windows::default() },
            selection: match by_distance && (preset == 6 || preset == 8) {
                true => Selection::Distance,
                false => Selection::Length,
            },
            // The words have room for one of the two.
            fill: fill.filter(|_| bound.parameters().1 == 0.0).map(Fill::from_bits),
            bound,
            time_axis,
        },
    )
}

fn expanded() -> impl Strategy<Value = Expanded> {
    let own_fill = prop_oneof![
        Just(None),
        Just(Some([0; 8])),
        any::<[u8; 8]>().prop_map(Some),
        Just(Some([0, 0, 0xc0, 0x7f, 0, 0, 0, 0])),
    ];
    let shape = proptest::collection::vec(1..=u32::MAX as usize, 1..=4);
    (settings(), own_fill, 1..=9u8, any::<bool>(), shape, 0..4usize, any::<(bool, u64)>()).prop_map(
        |(settings, own_fill, dtype, big, shape, axis, (preceded, nonce))| Expanded {
            settings,
            own_fill,
            dtype: Dtype::from_code(dtype).expect("a type"),
            order: if big { ByteOrder::Big } else { ByteOrder::Little },
            time_axis: axis % shape.len(),
            shape,
            preceded,
            nonce,
        },
    )
}

/// What survives the words: the nonce does not where its words hold the fill value.
fn same(a: &Expanded, b: &Expanded) -> bool {
    let nonce = if b.nonce == 0 { 0 } else { a.nonce };
    Expanded { nonce, ..a.clone() } == *b
}

proptest! {
    #[test]
    fn settings_survive_their_words(settings in settings()) {
        let words = settings.to_words().unwrap();
        prop_assert!(words.len() <= 10 && !words.is_empty());
        prop_assert_eq!(CdValues::from_words(&words).unwrap(), CdValues::User(settings));
    }

    #[test]
    fn expanded_words_survive_and_keep_the_settings(expanded in expanded()) {
        let words = expanded.to_words().unwrap();
        let CdValues::Expanded(back) = CdValues::from_words(&words).unwrap() else { panic!("not expanded") };
        prop_assert!(same(&expanded, &back), "{expanded:?} became {back:?}");
        prop_assert_eq!(back.to_words().unwrap(), words);
        prop_assert_eq!(Settings::from_words(&words).unwrap(), expanded.settings);
    }

    #[test]
    fn arbitrary_words_are_read_or_refused(words in proptest::collection::vec(any::<u32>(), 0..20)) {
        let _ = CdValues::from_words(&words);
    }

    #[test]
    fn words_that_are_nearly_right_are_read_exactly_or_refused(
        expanded in expanded(), at in 0..WORDS, bits in any::<u32>(),
    ) {
        let mut words = expanded.to_words().unwrap();
        words[at] ^= bits;
        match CdValues::from_words(&words) {
            Ok(CdValues::Expanded(e)) => {
                // The same meaning may have a second form (a common fill value written out), but stays the same.
                let again = CdValues::from_words(&e.to_words().unwrap()).unwrap();
                let CdValues::Expanded(again) = again else { panic!("not expanded") };
                prop_assert!(same(&e, &again));
            }
            Ok(CdValues::User(s)) => prop_assert_eq!(Settings::from_words(&s.to_words().unwrap()).unwrap(), s),
            Err(e) => prop_assert!(e.message().contains("word") || e.message().contains("cd_values"), "{e}"),
        }
    }
}

#[test]
fn no_words_ask_for_lossless() {
    assert_eq!(Settings::from_words(&[]).unwrap(), Settings::default());
    assert_eq!(Settings::from_words(&[1]).unwrap().bound, Bound::Lossless);
    assert_eq!(Settings::default().to_words().unwrap(), [1]);
}

#[test]
fn the_words_of_a_common_request_are_what_the_documents_say() {
    let words = Settings::new(Bound::Absolute(1e-3)).to_words().unwrap();
    assert_eq!(words, [1, 1, 0xd2f1_a9fc, 0x3f50_624d]);
    let fill = Settings {
        fill: Some(Fill::value(-999.0)),
        ..Settings::new(Bound::Relative { rel: 0.5, range: None })
    };
    assert_eq!(fill.to_words().unwrap(), [1 | 1 << 17, 2, 0, 0x3fe0_0000, 0, 0xc08f_3800]);
}

#[test]
fn refusals_name_the_word_and_what_was_expected() {
    let good = |change: &dyn Fn(&mut Vec<u32>)| {
        let mut words = vec![1, 1, 0, 0x3ff0_0000];
        words.resize(WORDS, 0);
        change(&mut words);
        CdValues::from_words(&words)
    };
    assert!(good(&|_| ()).is_ok());
    type Change<'a> = &'a dyn Fn(&mut Vec<u32>);
    let cases: [(Change, &[&str]); 33] = [
        (&|w| w[0] = 0, &["word 0", "version 0", "knows version 1"]),
        (&|w| w[0] = 2, &["word 0", "version 2"]),
        (&|w| w[0] |= 1 << 31, &["word 0", "0x80000000"]),
        (&|w| w[0] |= 1 << 18, &["word 0", "only set_local"]),
        (&|w| w[0] |= 3 << 17, &["bits 17 and 18"]),
        (&|w| w[1] = 6, &["bound mode 6", "expected 0 to 5"]),
        (&|w| w[1] |= 1 << 8, &["word 1", "only set_local"]),
        (&|w| w[3] = 0, &["words 1 to 5", "absolute bound is 0"]),
        (&|w| w[3] = 0xbff0_0000, &["absolute bound is -1"]),
        (&|w| w[3] = 0x7ff0_0000, &["absolute bound is inf"]),
        (&|w| w[3] = 0x7ff8_0000, &["absolute bound is NaN"]),
        (&|w| w[5] = 0x3ff0_0000, &["words 4 and 5", "0 expected"]),
        (&|w| w[1] = 0, &["words 2 and 3", "0 expected"]),
        (&|w| w[7] = 5, &["words 6 to 9", "model", "preset balanced", "learned"]),
        (&|w| w[0] |= 1 << 26, &["word 0", "strict", "preset balanced"]),
        (&|w| w[0] |= 1 << 27, &["word 0, bits 27 to 30", "preset balanced", "preset tezip"]),
        (&|w| w[0] |= 1 << 30 | 2 << 8, &["word 0, bits 27 to 30", "preset lossless"]),
        (&|w| w[0] |= 7 << 27 | 5 << 8, &["word 0, bits 27 to 30", "preset tezip+"]),
        (&|w| w[1] |= 8 << 24, &["word 1, bits 24 to 31", "preset balanced"]),
        (&|w| (w[0], w[1]) = (1 | 3 << 8, 1 | 200 << 24), &["word 1, bits 24 to 31", "preset learned"]),
        (&|w| (w[0], w[1]) = (1 | 4 << 8, 1 | 1 << 24), &["key frame every 1 steps", "2 to 127"]),
        (&|w| (w[0], w[1]) = (1 | 4 << 8, 1 | 253 << 24), &["threshold of key frames", "2^-31 to 1"]),
        (&|w| (w[0], w[1]) = (1 | 4 << 8, 1 | 255 << 24), &["threshold of key frames", "2^-31 to 1"]),
        (&|w| w[0] |= 1 << 31 | 4 << 8, &["word 0", "0x80000000"]),
        (&|w| w[0] |= 5 << 23 | 4 << 8, &["word 0", "only set_local"]),
        (&|w| w[0] |= 9 << 8, &["word 0", "preset 9", "expected 0 to 8"]),
        (&|w| w[0] |= 1 << 30 | 7 << 8, &["word 0, bits 27 to 30", "preset ae-sz+"]),
        (&|w| w[0] |= 1 << 27 | 6 << 8, &["word 0, bits 27 to 30", "preset ae-sz"]),
        (&|w| (w[0], w[1]) = (1 | 8 << 8, 1 | 8 << 24), &["word 1, bits 24 to 31", "preset cae"]),
        (&|w| w[0] |= 5 << 23 | 3 << 8, &["word 0", "only set_local"]),
        (&|w| w[0] |= 3 << 8 | 1 << 19, &["word 0", "only set_local"]),
        (&|w| w[13] = 5, &["word 13", "leave them out"]),
        (&|w| w.push(0), &["17 cd_values", "at most 16"]),
    ];
    for (change, texts) in cases {
        let e = good(change).expect_err(texts[0]);
        for text in texts {
            assert!(e.message().contains(text), "\"{e}\" does not contain \"{text}\"");
        }
    }
}

#[test]
fn windows_are_where_the_documents_say() {
    let words = |keys, warm_up, open_loop| {
        let windows = Windows { keys, warm_up, open_loop };
        let settings =
            Settings { preset: Preset::Tezip, windows, time_axis: 2, ..Settings::new(Bound::Absolute(1.0)) };
        let words = settings.to_words().unwrap();
        assert_eq!(words[2..], [0, 0x3ff0_0000]);
        (words[0], words[1])
    };
    assert_eq!(words(KeyFrames::First, 0, false), (1 | 4 << 8, 1 | 2 << 20));
    assert_eq!(words(KeyFrames::Every(2), 0, false), (1 | 4 << 8, 1 | 2 << 20 | 2 << 24));
    assert_eq!(
        words(KeyFrames::Every(127), 7, true),
        (1 | 4 << 8 | 7 << 27 | 1 << 30, 1 | 2 << 20 | 127 << 24)
    );
    assert_eq!(words(KeyFrames::Beyond(1.0), 1, false), (1 | 4 << 8 | 1 << 27, 1 | 2 << 20 | 128 << 24));
    assert_eq!(
        words(KeyFrames::Beyond(2f64.powi(-31)), 0, true),
        (1 | 4 << 8 | 1 << 30, 1 | 2 << 20 | 252 << 24)
    );
    let plus = Settings { preset: Preset::TezipPlus, ..Settings::new(Bound::Lossless) };
    assert_eq!(plus.to_words().unwrap(), [1 | 5 << 8]);
}

#[test]
fn every_window_survives_its_words_and_thresholds_are_rounded_to_quarter_powers_of_two() {
    let back = |keys| {
        let windows = Windows { keys, ..Windows::default() };
        let settings = Settings { preset: Preset::Tezip, windows, ..Settings::default() };
        Settings::from_words(&settings.to_words().unwrap()).unwrap().windows.keys
    };
    for n in 2..=127 {
        assert_eq!(back(KeyFrames::Every(n)), KeyFrames::Every(n));
    }
    for k in 0..=124u32 {
        let exact = 2f64.powf(-0.25 * f64::from(k));
        assert_eq!(back(KeyFrames::Beyond(exact)), KeyFrames::Beyond(exact));
        // A little to either side of half a quarter: the one or the other.
        let half = 2f64.powf(-0.25 * (f64::from(k) + 0.5));
        let next = 2f64.powf(-0.25 * f64::from(k + 1));
        if k < 124 {
            assert_eq!(back(KeyFrames::Beyond(half * (1.0 + 1e-9))), KeyFrames::Beyond(exact));
            assert_eq!(back(KeyFrames::Beyond(half * (1.0 - 1e-9))), KeyFrames::Beyond(next));
        }
    }
    assert_eq!(back(KeyFrames::Beyond(0.02)), KeyFrames::Beyond(2f64.powf(-5.75)));
}

#[test]
fn windows_that_no_word_holds_are_refused() {
    for (keys, warm_up, text) in [
        (KeyFrames::Every(0), 0, "every 0 steps"),
        (KeyFrames::Every(1), 0, "every 1 steps"),
        (KeyFrames::Every(128), 0, "every 128 steps"),
        (KeyFrames::Beyond(0.0), 0, "threshold of key frames is 0"),
        (KeyFrames::Beyond(-0.5), 0, "threshold of key frames is -0.5"),
        (KeyFrames::Beyond(1.01), 0, "threshold of key frames is 1.01"),
        (KeyFrames::Beyond(2f64.powf(-31.1)), 0, "threshold of key frames"),
        (KeyFrames::Beyond(f64::NAN), 0, "threshold of key frames is NaN"),
        (KeyFrames::First, 8, "warm-up of 8 steps"),
    ] {
        let windows = Windows { keys, warm_up, open_loop: false };
        let settings = Settings { preset: Preset::Tezip, windows, ..Settings::default() };
        let e = settings.to_words().expect_err(text);
        assert!(e.message().contains(text), "\"{e}\" does not contain \"{text}\"");
    }
    let others = [
        Preset::Balanced,
        Preset::Fast,
        Preset::Lossless,
        Preset::Learned,
        Preset::TezipPlus,
        Preset::AeSz,
        Preset::AeSzPlus,
        Preset::Cae,
    ];
    for preset in others {
        for windows in [
            Windows { keys: KeyFrames::Every(8), ..Windows::default() },
            Windows { keys: KeyFrames::Beyond(0.5), ..Windows::default() },
            Windows { warm_up: 1, ..Windows::default() },
            Windows { open_loop: true, ..Windows::default() },
        ] {
            let e = Settings { preset, windows, ..Settings::default() }.to_words().unwrap_err();
            assert!(
                e.message().contains(&format!("which the preset {} does not have", preset.name())),
                "{e}"
            );
        }
    }
}

#[test]
fn the_selection_goes_with_blocks_only() {
    for preset in (0..9).map(|code| Preset::from_code(code).unwrap()) {
        let settings =
            Settings { preset, selection: Selection::Distance, ..Settings::new(Bound::Absolute(1.0)) };
        match preset {
            Preset::AeSz | Preset::Cae => {
                let words = settings.to_words().unwrap();
                assert_eq!(words, [1 | u32::from(preset.code()) << 8 | 1 << 30, 1, 0, 0x3ff0_0000]);
                assert_eq!(Settings::from_words(&words).unwrap(), settings);
            }
            _ => {
                let e = settings.to_words().unwrap_err();
                assert!(
                    e.message().contains(&format!("which the preset {} does not do", preset.name())),
                    "{e}"
                );
            }
        }
    }
}

#[test]
fn a_fill_value_and_a_second_parameter_have_no_room_together() {
    let both =
        Settings { fill: Some(Fill::value(1.0)), ..Settings::new(Bound::AbsRel { abs: 1.0, rel: 1.0 }) };
    assert!(both.to_words().unwrap_err().message().contains("words 4 and 5"));
}

#[test]
fn a_model_is_named_by_the_first_half_of_its_digest() {
    let digest: [u8; 16] = std::array::from_fn(|i| i as u8 + 1);
    let settings =
        Settings { preset: Preset::Learned, model: Some(digest), ..Settings::new(Bound::Absolute(1e-3)) };
    let words = settings.to_words().unwrap();
    let model = [0x0403_0201, 0x0807_0605, 0x0c0b_0a09, 0x100f_0e0d];
    assert_eq!(words, [&[1 | 3 << 8, 1, 0xd2f1_a9fc, 0x3f50_624d, 0, 0][..], &model].concat());
    let strict = Settings { strict: true, ..settings };
    assert_eq!(strict.to_words().unwrap()[0], 1 | 3 << 8 | 1 << 26);
}

#[test]
fn a_dataset_keeps_its_nonce_or_the_digest_whatever_its_fill_value() {
    let expanded = |model| Expanded {
        settings: Settings {
            preset: Preset::Learned,
            model,
            fill: Some(Fill::value(1.0)),
            ..Settings::new(Bound::Absolute(1.0))
        },
        own_fill: Some([1, 2, 3, 4, 5, 6, 7, 8]),
        dtype: Dtype::F64,
        order: ByteOrder::Little,
        shape: vec![4],
        time_axis: 0,
        preceded: false,
        nonce: 77,
    };
    for (model, nonce) in [(None, 77), (Some([9; 16]), 0)] {
        let words = expanded(model).to_words().unwrap();
        let CdValues::Expanded(back) = CdValues::from_words(&words).unwrap() else { panic!("not expanded") };
        assert_eq!(back, Expanded { nonce, ..expanded(model) });
    }
    // Words 8 and 9 stay free, and only presets with models have room there.
    let words = expanded(None).to_words().unwrap();
    for change in [|w: &mut [u32; WORDS]| w[8] = 1, |w: &mut [u32; WORDS]| w[0] &= !(3 << 8)] {
        let mut bad = words;
        change(&mut bad);
        assert!(CdValues::from_words(&bad).unwrap_err().message().contains("words 6 and 7"));
    }
}
