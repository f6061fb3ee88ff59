//! How results look: sizes, tables, progress.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::Write;

/// In the place of the standard library's, which panics where nobody reads on (`augur inspect ... | head`).
macro_rules! println {
    () => { $crate::output::put(format_args!("\n")) };
    ($($text:tt)*) => { $crate::output::put(format_args!("{}\n", format_args!($($text)*))) };
}

/// Writes to standard output. Where its reader has gone, the work is done to its end all the same, so that no file is left
/// half made; that it cannot be written for another reason ends the command.
pub fn put(text: std::fmt::Arguments) {
    match std::io::stdout().lock().write_fmt(text) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("augur: standard output cannot be written: {e}");
            std::process::exit(2);
        }
        _ => {}
    }
}

/// Bytes in the unit that reads best.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if n < 1000 {
        return format!("{n} B");
    }
    let (mut value, mut unit) = (n as f64 / 1e3, 0);
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1e3;
        unit += 1;
    }
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.digits$} {}", UNITS[unit])
}

/// Raw size over stored size, for people.
pub fn ratio(raw: u64, stored: u64) -> String {
    if stored == 0 {
        return "-".into();
    }
    format!("{:.2}x", raw as f64 / stored as f64)
}

/// Raw size over stored size, for programs; null when nothing is stored.
pub fn ratio_json(raw: u64, stored: u64) -> serde_json::Value {
    if stored == 0 {
        return serde_json::Value::Null;
    }
    serde_json::json!(raw as f64 / stored as f64)
}

/// Text from a file on one line, without the characters that a terminal would obey.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Extents as people write them.
pub fn shape(extents: &[usize]) -> String {
    if extents.is_empty() {
        return "single value".into();
    }
    extents.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ")
}

/// A number with as many digits as tell it apart from others.
pub fn number(v: f64) -> String {
    if v == 0.0 {
        return "0".into();
    }
    if (1e-3..1e6).contains(&v.abs()) {
        let digits = (3 - v.abs().log10().floor() as i32).clamp(0, 6) as usize;
        return format!("{v:.digits$}");
    }
    format!("{v:.3e}")
}

/// Widest column that is aligned; a longer cell pushes its own row only.
const WIDEST: usize = 48;

/// Prints rows under a heading, columns aligned.
pub fn table(heading: &[&str], rows: &[Vec<String>]) {
    let mut widths: Vec<usize> = heading.iter().map(|h| h.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count().min(WIDEST));
        }
    }
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(c, w)| format!("{c:<w$}")).collect();
        println!("{}", padded.join("  ").trim_end());
    };
    line(heading.to_vec());
    for row in rows {
        line(row.iter().map(String::as_str).collect());
    }
}

/// A progress bar in bytes on standard error; nothing is drawn where that is no terminal.
pub fn progress(total: u64, quiet: bool) -> ProgressBar {
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(total), target);
    let style =
        ProgressStyle::with_template("{msg:24!} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta} left");
    if let Ok(style) = style {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

/// Prints a value for programs.
pub fn json(value: &serde_json::Value) {
    println!("{value:#}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_keep_three_digits() {
        for (n, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.00 kB"),
            (15_360, "15.4 kB"),
            (999_400, "999 kB"),
            (999_600, "1.00 MB"),
            (3_300_000_000, "3.30 GB"),
        ] {
            assert_eq!(bytes(n), text);
        }
    }
}
