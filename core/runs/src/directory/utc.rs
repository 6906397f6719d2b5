//! Times, as directories and records say them.
use std::time::{SystemTime, UNIX_EPOCH};

/// A time in UTC, to the second: a run's directory and records mean the same wherever they are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Utc {
    year: i64,
    month: u64,
    day: u64,
    second_of_day: u64,
}

impl From<SystemTime> for Utc {
    /// The days' part is Howard Hinnant's `civil_from_days` (howardhinnant.github.io/date_algorithms.html), for
    /// days since 1970: years begin in March there, so that the leap day is a year's last.
    fn from(time: SystemTime) -> Self {
        let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs());
        let days = seconds / 86_400 + 719_468; // since 0000-03-01
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Utc {
            year: (year_of_era + 400 * era + u64::from(month <= 2)) as i64,
            month,
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
            second_of_day: seconds % 86_400,
        }
    }
}

impl Utc {
    /// `2026-11-22T10:04:05Z`
    pub fn rfc3339(&self) -> String {
        let (hour, minute, second) = self.clock();
        format!("{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", self.year, self.month, self.day)
    }

    /// `2026-11-22-10-04-05`: sorts by time, and needs no quotes in a shell.
    pub(super) fn dashed(&self) -> String {
        let (hour, minute, second) = self.clock();
        format!("{:04}-{:02}-{:02}-{hour:02}-{minute:02}-{second:02}", self.year, self.month, self.day)
    }

    fn clock(&self) -> (u64, u64, u64) {
        (self.second_of_day / 3_600, self.second_of_day / 60 % 60, self.second_of_day % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_utc() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (1_798_761_599, "2026-12-31T23:59:59Z"),
        ] {
            assert_eq!(Utc::from(UNIX_EPOCH + Duration::from_secs(seconds)).rfc3339(), text);
        }
    }
}
