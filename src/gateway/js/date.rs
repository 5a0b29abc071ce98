//! JavaScript's dates.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Converts a time to milliseconds since 1970, as `Date.now()` returns it; negative before 1970.
#[must_use]
pub(crate) fn epoch_ms(time: SystemTime) -> i64 {
    let whole = |apart: Duration| i64::try_from(apart.as_millis()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => whole(after),
        Err(before) => -whole(before.duration()),
    }
}

/// Converts a file's time, in nanoseconds since 1970, to the `mtimeMs` of Node.js: bit for bit, because
/// the gateway compares it with `===`.
#[must_use]
pub(crate) fn mtime_ms(nanoseconds: i128) -> f64 {
    const SECOND: i128 = 1_000_000_000;
    #[expect(
        clippy::cast_precision_loss,
        reason = "both numbers are below 2^53 for every time of a file system"
    )]
    let [seconds, rest] = [
        nanoseconds.div_euclid(SECOND) as f64,
        nanoseconds.rem_euclid(SECOND) as f64,
    ];
    seconds * 1e3 + rest / 1e6
}

/// Formats a time, in milliseconds since 1970, as `new Date(epoch_ms).toISOString()` does:
/// `2026-03-01T12:00:00.000Z`. Used for the `createdAt` of a lock file.
///
/// A time before 1970 or after 9999 becomes the nearest time in that range, so that a wrong clock
/// does not prevent a sweep.
#[must_use]
pub(crate) fn iso_stamp(epoch_ms: i64) -> String {
    const LAST: u64 = 253_402_300_799_999; // 9999-12-31T23:59:59.999Z
    let since_1970 = Duration::from_millis(u64::try_from(epoch_ms).unwrap_or(0).min(LAST));
    humantime::format_rfc3339_millis(UNIX_EPOCH + since_1970).to_string()
}

/// Formats a time, in milliseconds since 1970, for the name of an archive: [`iso_stamp`] without
/// colons, which file names on Windows must not contain.
#[must_use]
pub(crate) fn archive_stamp(epoch_ms: i64) -> String {
    iso_stamp(epoch_ms).replace(':', "-")
}

/// Parses the stamp of an archive's name to milliseconds since 1970; `None` if it does not have
/// exactly the form `YYYY-MM-DDTHH-MM-SS.mmmZ` (the milliseconds are optional) or if V8 rejects the
/// time.
///
/// V8 accepts 24:00:00 and a day up to 31 in every month: February 30 is March 2, or March 1 in a
/// leap year.
#[must_use]
pub(crate) fn parse_archive_stamp(stamp: &str) -> Option<i64> {
    let date_time = DateTime::parse(stamp, b'-')?;
    let is_archive_form = matches!(date_time.fraction.len(), 0 | 3) && date_time.zone == "Z";
    is_archive_form.then_some(date_time.ms)
}

/// Parses a complete ISO 8601 date and time to milliseconds since 1970, as `Date.parse` does:
/// `2026-03-01T12:00:00Z`, with any number of decimals, in UTC (`Z`) or with an offset (`+01:00`).
/// Digits after the milliseconds are ignored.
///
/// Returns `None` for everything else, including forms that V8 accepts, such as a date without a
/// time or `Sun Mar 1 2026`. No program writes these into a lock file, and a lock without a valid
/// date is waited for longer, not shorter.
///
/// V8 is wrong by less than a second if there are more than nine decimals that begin with a zero.
/// That error is not reproduced.
#[must_use]
pub(crate) fn parse_iso_date(date: &str) -> Option<i64> {
    let date_time = DateTime::parse(date, b':')?;
    let (sign, offset) = match date_time.zone.as_bytes() {
        b"Z" => return Some(date_time.ms),
        [b'+', offset @ ..] => (1, offset),
        [b'-', offset @ ..] => (-1, offset),
        _ => return None,
    };
    let [h1, h2, b':', m1, m2] = offset else {
        return None;
    };
    let hours = decimal(&[*h1, *h2]).filter(|hours| *hours <= 23)?;
    let minutes = decimal(&[*m1, *m2]).filter(|minutes| *minutes <= 59)?;
    Some(date_time.ms - sign * (hours * HOUR + minutes * MINUTE))
}

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A date and time of the form `YYYY-MM-DDTHH:MM:SS`, followed by decimals and a zone.
///
/// `humantime` parses this form differently from V8: it accepts a 60th second, but not 24:00:00,
/// February 30, an offset or a year before 1970.
struct DateTime<'a> {
    /// Milliseconds since 1970 if the zone is UTC.
    ms: i64,
    /// The decimals without the point.
    fraction: &'a str,
    /// The text after the decimals.
    zone: &'a str,
}

impl<'a> DateTime<'a> {
    /// Parses `text`, in which `separator` separates hours, minutes and seconds.
    fn parse(text: &'a str, separator: u8) -> Option<Self> {
        const SECONDS_END: usize = "YYYY-MM-DDTHH:MM:SS".len();
        let (fields, tail) = text.split_at_checked(SECONDS_END)?;
        let fields = fields.as_bytes();
        let separators = [4, 7, 10, 13, 16].map(|at| fields[at]);
        if separators != [b'-', b'-', b'T', separator, separator] {
            return None;
        }
        let (fraction, zone) = split_fraction(tail)?;
        let year = decimal(&fields[..4])?;
        let month = decimal(&fields[5..7]).filter(|month| (1..=12).contains(month))?;
        let day = decimal(&fields[8..10]).filter(|day| (1..=31).contains(day))?;
        let hour = decimal(&fields[11..13])?;
        let minute = decimal(&fields[14..16]).filter(|minute| *minute <= 59)?;
        let second = decimal(&fields[17..]).filter(|second| *second <= 59)?;
        let past_the_hour = minute > 0 || second > 0 || fraction.bytes().any(|digit| digit != b'0');
        if hour > 24 || (hour == 24 && past_the_hour) {
            return None;
        }

        let ms_of_fraction = fraction
            .bytes()
            .chain(*b"000")
            .take(3)
            .fold(0, |ms, digit| ms * 10 + i64::from(digit - b'0'));
        Some(Self {
            ms: (days_before_month(year, month) + day - 1) * DAY
                + hour * HOUR
                + minute * MINUTE
                + second * SECOND
                + ms_of_fraction,
            fraction,
            zone,
        })
    }
}

/// Splits off the decimals after a point, if there is one; `None` if no digit follows the point.
fn split_fraction(text: &str) -> Option<(&str, &str)> {
    let Some(decimals) = text.strip_prefix('.') else {
        return Some(("", text));
    };
    let end = decimals.find(|c: char| !c.is_ascii_digit())?;
    (end > 0).then(|| decimals.split_at(end))
}

/// Parses decimal digits; `None` if there is any other character, including a sign.
fn decimal(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |value, digit| {
        digit
            .is_ascii_digit()
            .then(|| value * 10 + i64::from(digit - b'0'))
    })
}

/// Returns the days from 1970-01-01 to the first of a month in the Gregorian calendar, which
/// JavaScript also uses for the years before its introduction. `year` begins at 0, `month` at 1.
fn days_before_month(year: i64, month: i64) -> i64 {
    // If a year begins in March, a leap day is its last day and changes the position of no month. The
    // months' lengths then repeat as 31, 30, 31, 30, 31.
    let (year, months) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days_of_months = (153 * months + 2) / 5;
    let from_march_of_year_0 = 365 * year + leap_days + days_of_months;
    from_march_of_year_0 - 719_468 // 0000-03-01 to 1970-01-01
}
