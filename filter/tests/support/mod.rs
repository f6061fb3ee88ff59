//! A small model file, made by hand.

#![allow(dead_code)]

/// A forecaster that moves the picture by 3 rows and 4 columns per step, for uncorrelated fields; `name` tells models
/// apart.
pub fn model(name: &str) -> Vec<u8> {
    let (height, width, channels) = (7, 9, 3);
    let mut weight = vec![0u8; channels * height * width];
    weight[0] = 64; // the point 3 rows above and 4 columns to the left
    weight[height / 2 * width + width / 2] = -64i8 as u8;
    // (shifted - here) of standard deviation 4096 to one of root mean square 1024: 1 / (4 sqrt 2) / 64.
    let (multiplier, shift) = (23170i32, 23u8);
    let data = [&weight[..], &[0; 4], &multiplier.to_le_bytes(), &[shift]].concat();
    let graphs = concat!(
        r#"{"forecaster":{"frames":2,"levels":0,"nodes":["#,
        r#"{"op":"input","channels":3,"type":"i16"},"#,
        r#"{"op":"conv2d","in":[0],"weight":"w","bias":"b","multiplier":"m","shift":"s","stride":1,"#,
        r#""clamp":[-32767,32767],"type":"i16"}]}}"#
    );
    let n = weight.len();
    let tensor = |kind: &str, shape: &str, start: usize, end: usize| {
        format!(r#"{{"dtype":"{kind}","shape":[{shape}],"data_offsets":[{start},{end}]}}"#)
    };
    let mut header = format!(
        r#"{{"__metadata__":{{"format":"augur-model","version":"1","graphs":"{}","name":"{name}"}},"w":{},"b":{},"m":{},"s":{}}}"#,
        graphs.replace('"', "\\\""),
        tensor("I8", &format!("1,{channels},{height},{width}"), 0, n),
        tensor("I32", "1", n, n + 4),
        tensor("I32", "1", n + 4, n + 8),
        tensor("U8", "1", n + 8, n + 9),
    );
    while header.len() % 8 != 0 {
        header.push(' ');
    }
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
}
