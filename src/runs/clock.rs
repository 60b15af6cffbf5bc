//! Points in time as they stand in records: RFC 3339, UTC, milliseconds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `2026-08-29T07:05:09.042Z`; times before 1970 are given as its first moment.
pub fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seconds = since.as_secs();
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let millisecond = since.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
}

/// The present.
pub fn now() -> String {
    rfc3339(SystemTime::now())
}

/// Milliseconds since 1970 of a moment as [`rfc3339`] writes it; `None` for anything else.
pub fn milliseconds(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let shape = b"0000-00-00T00:00:00.000Z";
    let fits = |(byte, model): (&u8, &u8)| if *model == b'0' { byte.is_ascii_digit() } else { byte == model };
    if bytes.len() != shape.len() || !bytes.iter().zip(shape).all(fits) {
        return None;
    }
    let number = |from: usize, to: usize| text[from..to].parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let within = (1..=12).contains(&month) && day > 0 && hour < 24 && minute < 60 && second < 60;
    if year < 1970 || !within {
        return None;
    }
    // the way back of `civil`: years and months from March
    let (from_march, year_of_march) = ((month + 9) % 12, year - u64::from(month <= 2));
    let (era, year_of_era) = (year_of_march / 400, year_of_march % 400);
    let day_of_era =
        year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * from_march + 2) / 5 + day - 1;
    let days = era * 146_097 + day_of_era - 719_468;
    // a 30 February would have become a day of March
    let moment = (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + number(20, 23)?;
    (civil(days) == (year, month, day)).then_some(moment)
}

/// Year, month and day of a day counted from 1970-01-01 in the Gregorian calendar. Years are
/// counted from 1 March, so that the leap day is the last of its year; 400 years have 146 097 days.
fn civil(days: u64) -> (u64, u64, u64) {
    // 719 468 days lie between 0000-03-01 and 1970-01-01
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // months from March have 31, 30, 31, 30, 31 days in turn: 153 in five
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values by `date -u -d @SECONDS +%FT%TZ`.
    #[test]
    fn dates_agree_with_the_calendar_around_leap_days_and_centuries() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_251_200, "2024-03-01T00:00:00.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
        assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_millis(1042)), "1970-01-01T00:00:01.042Z");
    }

    #[test]
    fn a_moment_reads_back_and_what_is_none_is_refused() {
        for moment in [0, 1042, 951_782_399_000, 1_709_251_200_007, 4_107_542_400_999, 253_402_300_799_999] {
            assert_eq!(milliseconds(&rfc3339(UNIX_EPOCH + Duration::from_millis(moment))), Some(moment));
        }
        for wrong in [
            "",
            "now",
            "2026-02-30T00:00:00.000Z",
            "2026-13-01T00:00:00.000Z",
            "1969-12-31T23:59:59.000Z",
            "2026-01-01T24:00:00.000Z",
            "2026-01-01T00:00:00.000+",
            "2026-01-01T00:00:00Z",
            "２026-01-01T00:00:00.0Z",
        ] {
            assert_eq!(milliseconds(wrong), None, "{wrong}");
        }
    }
}
