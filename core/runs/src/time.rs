//! Times, as directories and records have them: in UTC, to the second, so that they mean the same wherever they are read.
use jiff::Timestamp;
use std::time::SystemTime;

/// `2026-11-22T10:04:05Z`
pub fn rfc3339(time: SystemTime) -> String {
    formatted(time, "%Y-%m-%dT%H:%M:%SZ")
}

/// `2026-11-22-10-04-05`: sorts by time, and needs no quotes in a shell.
pub(crate) fn dashed(time: SystemTime) -> String {
    formatted(time, "%Y-%m-%d-%H-%M-%S")
}

/// The time at the beginning of a run's id, as [`dashed`] writes it.
pub(crate) fn from_dashed(id: &str) -> Option<SystemTime> {
    let time = jiff::civil::DateTime::strptime("%Y-%m-%d-%H-%M-%S", id.get(..19)?).ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().into())
}

fn formatted(time: SystemTime, format: &str) -> String {
    // A clock that is thousands of years off is no reason to have no run.
    Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH).strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

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
            let time = UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(999);
            assert_eq!(rfc3339(time), text);
            assert_eq!(dashed(time), text.trim_end_matches('Z').replace(['T', ':'], "-"));
        }
        let time = UNIX_EPOCH + Duration::from_secs(1_798_761_599);
        assert_eq!(from_dashed("2026-12-31-23-59-59-brisk-otter"), Some(time));
        assert_eq!((from_dashed("member-7"), from_dashed("2026-13-31-23-59-59")), (None, None));
        assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(1 << 50)), "1970-01-01T00:00:00Z");
    }
}
