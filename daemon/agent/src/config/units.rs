//! Times and rates as people write them: `90s`, `5m`, `1h30m`, `2d`; `500K`, `2M`.

use std::time::Duration;

const TIMES: [(char, u64); 5] = [('w', 7 * 86_400), ('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)];

/// A time of whole seconds; `None` where the text is none. At most about a hundred years.
pub fn parse_time(text: &str) -> Option<Duration> {
    let mut seconds = 0u64;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..end].parse().ok()?;
        let unit = rest[end..].chars().next()?;
        let (_, factor) = TIMES.iter().find(|(letter, _)| *letter == unit)?;
        seconds = seconds.checked_add(number.checked_mul(*factor)?)?;
        rest = &rest[end + unit.len_utf8()..];
    }
    (1..=100 * 366 * 86_400)
        .contains(&seconds)
        .then(|| Duration::from_secs(seconds))
}

/// A time as [`parse_time`] reads it, in the largest units.
pub fn time_text(time: Duration) -> String {
    let mut seconds = time.as_secs();
    let mut text = String::new();
    for (letter, factor) in TIMES {
        if seconds >= factor {
            text.push_str(&format!("{}{letter}", seconds / factor));
            seconds %= factor;
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

/// Bytes: a number, or one with `K`, `M` or `G` behind it (1024, 1024², 1024³).
pub fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, factor) = match text.char_indices().last()? {
        (at, 'K' | 'k') => (&text[..at], 1 << 10),
        (at, 'M' | 'm') => (&text[..at], 1 << 20),
        (at, 'G' | 'g') => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    let bytes = number.parse::<u64>().ok()?.checked_mul(factor)?;
    (bytes > 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_go_in_and_out() {
        for (text, seconds) in [("5m", 300), ("1h30m", 5400), ("1d", 86_400), ("2w1s", 1_209_601)] {
            let time = parse_time(text).unwrap();
            assert_eq!((time.as_secs(), time_text(time)), (seconds, text.to_owned()));
        }
        assert_eq!(time_text(parse_time("90m").unwrap()), "1h30m");
        for text in [
            "",
            "5",
            "m",
            "0m",
            "5 m",
            "-5m",
            "5x",
            "99999999999999999999d",
            "9999999w",
            "5é",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    #[test]
    fn rates_have_a_unit_or_none() {
        for (text, bytes) in [("500K", 512_000), ("2M", 2 << 20), ("1g", 1 << 30), ("77", 77)] {
            assert_eq!(parse_bytes(text), Some(bytes));
        }
        for text in ["", "M", "0", "1.5M", "2MB", "99999999999999G", "2é"] {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
    }
}
