//! Sizes and times as text, and text from elsewhere that is safe on a terminal.

use std::fmt::Write;

/// A message in one line: what is not printable is written as C does (`\n`, `\033`), so that what an
/// agent says of itself cannot steer the terminal.
pub fn one_line(message: &str) -> String {
    message.chars().fold(String::new(), |mut text, c| {
        push_char(&mut text, c);
        text
    })
}

fn push_char(text: &mut String, c: char) {
    match c {
        '\n' => text.push_str("\\n"),
        '\t' => text.push_str("\\t"),
        '\r' => text.push_str("\\r"),
        c if c.is_control() || is_direction(c) => {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                write!(text, "\\{byte:03o}").expect("a string takes everything");
            }
        }
        c => text.push(c),
    }
}

/// Marks that make a terminal show a line in another order than it has.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Bytes in the largest binary unit that leaves at least one: `1023 B`, `1.5 GiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // What would be rounded to 1024.0 is one of the next.
    while value >= 1023.95 {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A count and its noun: `1 file`, `2 files`, `2 repositories`.
pub fn count(number: usize, noun: &str) -> String {
    match (number, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (number, Some(stem)) if !stem.ends_with(['a', 'e', 'o']) => format!("{number} {stem}ies"),
        (number, _) => format!("{number} {noun}s"),
    }
}

/// A time in UTC for people, `YYYY-MM-DD HH:MM:SS`; beyond the year 9999 `@` and seconds.
pub fn time(seconds: i64) -> String {
    match jiff::Timestamp::from_second(seconds) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => format!("@{seconds}"),
    }
}

/// A time in UTC as RFC 3339 has it; beyond the year 9999 `@` and seconds.
pub fn rfc3339(seconds: i64) -> String {
    match jiff::Timestamp::from_second(seconds) {
        Ok(time) => time.to_string(),
        Err(_) => format!("@{seconds}"),
    }
}

/// A length of time in its two largest units: `2d 5h`, `4m 10s`, `0s`.
pub fn span(seconds: i64) -> String {
    const UNITS: [(i64, char); 4] = [(86_400, 'd'), (3600, 'h'), (60, 'm'), (1, 's')];
    let mut left = seconds.max(0);
    let largest = UNITS.iter().position(|(unit, _)| left >= *unit).unwrap_or(3);
    let mut parts = Vec::new();
    for (unit, letter) in UNITS.iter().skip(largest).take(2) {
        if left >= *unit || parts.is_empty() {
            parts.push(format!("{}{letter}", left / unit));
        }
        left %= unit;
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_cannot_steer_a_terminal() {
        assert_eq!(one_line("a\nb\tc \u{1b}[2J"), "a\\nb\\tc \\033[2J");
        assert_eq!(one_line("müll\u{202e}"), "müll\\342\\200\\256");
    }

    #[test]
    fn sizes_counts_and_times() {
        for (bytes, text) in [
            (0, "0 B"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        assert_eq!([count(1, "key"), count(2, "key")], ["1 key", "2 keys"]);
        assert_eq!(
            [count(1, "repository"), count(0, "repository")],
            ["1 repository", "0 repositories"]
        );
        assert_eq!(
            (time(0), time(i64::MAX)),
            ("1970-01-01 00:00:00".into(), format!("@{}", i64::MAX))
        );
        assert_eq!(rfc3339(1_795_230_899), "2026-11-21T03:14:59Z");
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (3600, "1h"),
            (3725, "1h 2m"),
            (190_000, "2d 4h"),
            (86_460, "1d"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }
}
