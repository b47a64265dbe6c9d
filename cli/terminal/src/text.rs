//! Names, sizes and times as text that is safe on a terminal.

use std::fmt::Write;

/// A name or path for people: what is not printable is written as `ls -b` and C
/// do (`\n`, `\033`, `\377`), so that one name is one line and cannot steer the
/// terminal. A backslash is doubled, so that the text can be read back.
pub fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                c => push_char(&mut text, c),
            }
        }
        push_octal(&mut text, chunk.invalid());
    }
    text
}

/// A message in one line: as [`printable`], but a backslash stays, as names in
/// the message may have been made printable before.
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
        c if steers(c) => push_octal(text, c.encode_utf8(&mut [0; 4]).as_bytes()),
        c => text.push(c),
    }
}

/// Whether a letter does something else to a terminal than being shown.
pub(crate) fn steers(c: char) -> bool {
    c.is_control() || is_direction(c)
}

/// Marks that make a terminal show a line in another order than it has.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn push_octal(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        write!(text, "\\{byte:03o}").expect("a string takes everything");
    }
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
pub fn count(number: u64, noun: &str) -> String {
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

/// A time in UTC as RFC 3339 has it; beyond the year 9999 `@SECONDS`.
pub fn rfc3339(seconds: i64) -> String {
    match jiff::Timestamp::from_second(seconds) {
        Ok(time) => time.to_string(),
        Err(_) => format!("@{seconds}"),
    }
}

/// The same to the nanosecond; beyond the year 9999 `@SECONDS.NANOSECONDS`.
/// `nanoseconds` (0..1_000_000_000) always count forward, before 1970 too.
pub fn rfc3339_exact(seconds: i64, nanoseconds: u32) -> String {
    let time = jiff::Timestamp::from_second(seconds)
        .and_then(|time| time.checked_add(jiff::SignedDuration::new(0, nanoseconds as i32)));
    match time {
        Ok(time) => time.to_string(),
        Err(_) => format!("@{seconds}.{nanoseconds:09}"),
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

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

/// Permissions as `ls -l` shows them, with setuid, setgid and sticky: `rwsr-xr-t`.
pub fn permissions(mode: u32) -> String {
    let mut text: Vec<u8> = (0..9)
        .map(|bit| {
            if mode & (0o400 >> bit) != 0 {
                b"rwx"[bit % 3]
            } else {
                b'-'
            }
        })
        .collect();
    for (special, place, letter) in [(0o4000, 2, b's'), (0o2000, 5, b's'), (0o1000, 8, b't')] {
        if mode & special != 0 {
            text[place] = if text[place] == b'x' {
                letter
            } else {
                letter.to_ascii_uppercase()
            };
        }
    }
    String::from_utf8(text).expect("letters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_steer_a_terminal() {
        let cases: [(&[u8], &str); 7] = [
            (b"plain name.txt", "plain name.txt"),
            ("müll/日本".as_bytes(), "müll/日本"),
            (b"a\nb\tc\rd", "a\\nb\\tc\\rd"),
            (b"\x1b[2J\x7f", "\\033[2J\\177"),
            (b"bad\xff\xfename", "bad\\377\\376name"),
            (b"back\\slash", "back\\\\slash"),
            ("\u{9b}x\u{202e}".as_bytes(), "\\302\\233x\\342\\200\\256"),
        ];
        for (bytes, text) in cases {
            assert_eq!(printable(bytes), text);
        }
        assert_eq!(one_line("a\nb \\n"), "a\\nb \\n");
    }

    #[test]
    fn sizes_have_the_unit_that_fits() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text);
        }
        assert_eq!(
            (count(1, "file"), count(0, "file")),
            ("1 file".into(), "0 files".into())
        );
    }

    #[test]
    fn times_before_1970_and_beyond_all_calendars() {
        assert_eq!(time(0), "1970-01-01 00:00:00");
        assert_eq!(time(i64::MAX), "@9223372036854775807");
        assert_eq!(rfc3339_exact(-1, 500_000_000), "1969-12-31T23:59:59.5Z");
        assert_eq!(rfc3339(1_795_230_899), "2026-11-21T03:14:59Z");
        assert_eq!(rfc3339_exact(i64::MIN, 7), "@-9223372036854775808.000000007");
    }

    #[test]
    fn lengths_of_time_and_nouns() {
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
        assert_eq!([count(1, "key"), count(2, "key")], ["1 key", "2 keys"]);
        assert_eq!(
            [count(1, "repository"), count(0, "repository")],
            ["1 repository", "0 repositories"]
        );
    }

    #[test]
    fn permissions_as_ls_shows_them() {
        assert_eq!(permissions(0o755), "rwxr-xr-x");
        assert_eq!(permissions(0o7755), "rwsr-sr-t");
        assert_eq!(permissions(0o7644), "rwSr-Sr-T");
        assert_eq!(hex(b"\x00\xff"), "00ff");
    }
}
