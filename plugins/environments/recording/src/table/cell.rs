//! One value of a table, as it is written.

/// What it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cell {
    /// Nothing was observed: it is empty, or says so.
    Missing,
    Number(f64),
    Text,
}

/// What stands for a value that is missing, beside nothing at all.
const MISSING: [&str; 7] = ["na", "n/a", "nan", "null", "none", "?", "-"];

/// What a value is.
pub(super) fn cell(bytes: &[u8], decimal: u8) -> Cell {
    let bytes = bytes.trim_ascii();
    if bytes.is_empty() {
        return Cell::Missing;
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return Cell::Text };
    let number = if decimal == b',' && bytes.contains(&b',') {
        // A point is not a decimal one there.
        if bytes.contains(&b'.') { None } else { text.replacen(',', ".", 1).parse().ok() }
    } else {
        text.parse::<f64>().ok()
    };
    match number {
        Some(number) if !number.is_nan() => Cell::Number(number),
        _ if MISSING.iter().any(|missing| text.eq_ignore_ascii_case(missing)) => Cell::Missing,
        Some(_) => Cell::Missing,
        None => Cell::Text,
    }
}

/// What may be wrong with a text that stands where numbers do, as the end of a sentence.
pub(super) fn advice(bytes: &[u8], decimal: u8) -> &'static str {
    let other = if decimal == b'.' { b',' } else { b'.' };
    let bytes = bytes.trim_ascii();
    if bytes.iter().filter(|b| **b == other).count() == 1 && matches!(cell(bytes, other), Cell::Number(_)) {
        return match decimal {
            b'.' => "its decimal point seems to be a comma: set environment.decimal = \",\"",
            _ => "its decimal point seems to be a point: set environment.decimal = \".\"",
        };
    }
    let digits: Vec<u8> =
        bytes.iter().copied().filter(|b| !matches!(b, b',' | b' ' | b'\'' | b'_')).collect();
    match cell(&digits, b'.') {
        Cell::Number(_) => "write it without signs between thousands",
        _ => {
            "mend it, leave it empty where a value is missing, or add the column to environment.text if it is one of text"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_a_number_a_text_or_missing() {
        for (written, found) in [
            ("1.5", Cell::Number(1.5)),
            (" -3e2 ", Cell::Number(-300.0)),
            ("+7", Cell::Number(7.0)),
            ("12345678901234567890123", Cell::Number(12_345_678_901_234_567_890_123.0)),
            ("", Cell::Missing),
            ("  ", Cell::Missing),
            ("NaN", Cell::Missing),
            ("-nan", Cell::Missing),
            ("N/A", Cell::Missing),
            ("NULL", Cell::Missing),
            ("?", Cell::Missing),
            ("inf", Cell::Number(f64::INFINITY)),
            ("1,5", Cell::Text),
            ("abc", Cell::Text),
            ("1 000", Cell::Text),
            ("0x10", Cell::Text),
        ] {
            assert_eq!(cell(written.as_bytes(), b'.'), found, "{written:?}");
        }
        assert_eq!(cell(b"1,5", b','), Cell::Number(1.5));
        assert_eq!(cell(b"1.000,5", b','), Cell::Text);
        assert_eq!(cell(b"\xff", b'.'), Cell::Text);
        assert!(advice(b"1,5", b'.').contains("decimal = \",\""));
        assert!(
            advice(b"1.234,5", b'.').contains("mend it") || advice(b"1,234,567", b'.').contains("thousands")
        );
        assert!(advice(b"abc", b'.').contains("environment.text"));
    }
}
