//! Numbers as a person reads them.
use std::fmt::{self, Write};

/// `1234567` as `1,234,567`.
#[derive(Debug, Clone, Copy)]
pub struct Grouped(pub u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (i, digit) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i).is_multiple_of(3) {
                f.write_char(',')?;
            }
            f.write_char(digit)?;
        }
        Ok(())
    }
}

/// Three digits that matter: `3.21`, `0.0042`, `151`, `2.5e6`.
#[derive(Debug, Clone, Copy)]
pub struct ThreeDigits(pub f64);

impl fmt::Display for ThreeDigits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.abs();
        if size == 0.0 {
            f.write_str("0")
        } else if !size.is_finite() {
            write!(f, "{}", self.0)
        } else if !(0.001..99_999.5).contains(&size) {
            write!(f, "{:.2e}", self.0)
        } else {
            let decimals = (2 - size.log10().floor() as i32).max(0) as usize;
            write!(f, "{:.decimals$}", self.0)
        }
    }
}

/// Three digits and a prefix, to be followed by a unit: `29.8 G`, `144 M`, `12.0`.
#[derive(Debug, Clone, Copy)]
pub struct Scaled(pub f64);

impl fmt::Display for Scaled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        scaled(f, self.0, 1000.0, ["", " k", " M", " G", " T", " P"])
    }
}

/// Bytes: `45.0 MiB`, `6.25 GiB`.
#[derive(Debug, Clone, Copy)]
pub struct Bytes(pub f64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        scaled(f, self.0, 1024.0, [" B", " KiB", " MiB", " GiB", " TiB", " PiB"])
    }
}

fn scaled(f: &mut fmt::Formatter<'_>, value: f64, step: f64, units: [&str; 6]) -> fmt::Result {
    let mut value = value;
    let mut left = units.as_slice();
    // What would be rounded up to a fourth digit goes on to the next unit.
    while left.len() > 1 && value.abs() >= 999.5 {
        value /= step;
        left = &left[1..];
    }
    write!(f, "{}{}", ThreeDigits(value), left[0])
}

/// Steps per second, or seconds per step where those are fewer than one: `1,070 steps/s`, `2.50 s a step`.
#[derive(Debug, Clone, Copy)]
pub struct StepRate(pub f64);

impl fmt::Display for StepRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            100.0.. => write!(f, "{} steps/s", Grouped(self.0.round() as u64)),
            rate if 0.0 < rate && rate < 1.0 => write!(f, "{} s a step", ThreeDigits(1.0 / rate)),
            rate => write!(f, "{} steps/s", ThreeDigits(rate)),
        }
    }
}

/// Seconds as a person says them.
#[derive(Debug, Clone, Copy)]
pub struct Lasting(pub f64);

impl fmt::Display for Lasting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.ceil() as u64;
        let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
        match seconds {
            0..60 => write!(f, "{seconds} s"),
            60..3_600 => write!(f, "{minutes} min {:02} s", seconds % 60),
            3_600..86_400 => write!(f, "{hours} h {:02} min", minutes % 60),
            _ => write!(f, "{days} d {:02} h", hours % 24),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_a_person_reads_them() {
        assert_eq!(Grouped(1_234_567).to_string(), "1,234,567");
        assert_eq!([0, 999, 1_000].map(|n| Grouped(n).to_string()), ["0", "999", "1,000"]);
        let three = [0.0, 3.214, 151.4, 0.0042, -12.0, 1e-5, 2.5e6, 1234.0, f64::NAN, f64::INFINITY];
        assert_eq!(
            three.map(|n| ThreeDigits(n).to_string()),
            ["0", "3.21", "151", "0.00420", "-12.0", "1.00e-5", "2.50e6", "1234", "NaN", "inf"]
        );
        let scaled = [0.0, 12.0, 1000.0, 210e6, 29.8e9, 4e18];
        assert_eq!(
            scaled.map(|n| Scaled(n).to_string()),
            ["0", "12.0", "1.00 k", "210 M", "29.8 G", "4000 P"]
        );
        let bytes = [12.0, 1010.0, 1536.0, 6.25 * (1 << 30) as f64];
        assert_eq!(bytes.map(|n| Bytes(n).to_string()), ["12.0 B", "0.986 KiB", "1.50 KiB", "6.25 GiB"]);
        assert_eq!(
            [40_000.4, 99.94, 2.0, 0.999, 0.4, 0.001, 0.0].map(|r| StepRate(r).to_string()),
            [
                "40,000 steps/s",
                "99.9 steps/s",
                "2.00 steps/s",
                "1.00 s a step",
                "2.50 s a step",
                "1000 s a step",
                "0 steps/s"
            ]
        );
        assert_eq!(
            [0.2, 61.0, 3_725.0, 200_000.0].map(|s| Lasting(s).to_string()),
            ["1 s", "1 min 01 s", "1 h 02 min", "2 d 07 h"]
        );
    }
}
