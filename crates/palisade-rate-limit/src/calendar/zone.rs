use jiff::{
    Timestamp, ToSpan,
    civil::{Date, date},
    tz::TimeZone,
};
use palisade_core::ConfigError;

use super::window::{Period, Window};

/// A time zone of the IANA database.
#[derive(Debug)]
pub(super) struct Zone {
    name: Box<str>,
    zone: TimeZone,
}

/// The day with the number 0. West of Greenwich, the Unix epoch is still in 1969.
const FIRST_DAY: Date = date(1969, 12, 1);

impl Zone {
    /// # Errors
    ///
    /// If the time zone database has no such zone.
    pub(super) fn new(name: &str) -> Result<Self, ConfigError> {
        let zone = TimeZone::get(name).ok().filter(|zone| !zone.is_unknown());
        let zone = zone.ok_or_else(|| {
            let remedy =
                "choose a name of the IANA time zone database, such as Europe/Berlin or UTC";
            ConfigError::new("time_zone", name.escape_debug(), remedy)
        })?;
        // In the spelling of the database, so that all machines use the same name.
        let name = zone.iana_name().unwrap_or(name).into();
        Ok(Self { name, zone })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the window that contains this time.
    pub(super) fn window(&self, period: Period, unix: u64) -> Window {
        let time = Timestamp::from_nanosecond(unix.into()).unwrap_or(Timestamp::MAX);
        let day = self.zone.to_datetime(time).date();
        let (first, next) = match period {
            Period::Day => (day, day.checked_add(1.day())),
            Period::Month => {
                let first = day.first_of_month();
                (first, first.checked_add(1.month()))
            }
        };
        let number = match period {
            Period::Day => (first - FIRST_DAY).get_days(),
            Period::Month => i32::from(first.year()) * 12 + i32::from(first.month()),
        };
        Window {
            number: u64::try_from(number).unwrap_or(0),
            start: self.start_of(first),
            end: next.map_or(u64::MAX, |next| self.start_of(next)),
        }
    }

    /// Returns the beginning of a day. It is later than midnight if the clocks go forward at midnight.
    fn start_of(&self, day: Date) -> u64 {
        let start = self.zone.to_ambiguous_timestamp(day.at(0, 0, 0, 0)).compatible();
        start.map_or(0, |start| u64::try_from(start.as_nanosecond()).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::Calendar, *};

    const HOUR: u64 = 3600;
    const DAY: u64 = 24 * HOUR;

    fn seconds(at: &str) -> u64 {
        at.parse::<Timestamp>().unwrap().as_second().try_into().unwrap()
    }

    /// Returns the beginnings and lengths in seconds of the windows from the one that contains `at`.
    fn windows(period: Period, zone: &str, at: &str, count: usize) -> Vec<(String, u64)> {
        let zone = Zone::new(zone).unwrap();
        let mut at = seconds(at) * 1_000_000_000;
        let mut last = None;
        let windows = (0..count).map(|_| {
            let window = zone.window(period, at);
            assert!((window.start..window.end).contains(&at), "{window:?}");
            assert_eq!(zone.window(period, window.start), window);
            assert_eq!(zone.window(period, window.end - 1), window);
            assert!(last.replace(window.number) < Some(window.number));
            at = window.end;
            let start = Timestamp::from_nanosecond(window.start.into()).unwrap();
            (start.to_string(), (window.end - window.start) / 1_000_000_000)
        });
        windows.collect()
    }

    #[test]
    fn days_follow_the_clock_changes() {
        let days = |zone, at| windows(Period::Day, zone, at, 3);
        assert_eq!(
            days("Europe/Berlin", "2026-03-28T12:00:00Z"),
            [
                ("2026-03-27T23:00:00Z".to_owned(), DAY),
                ("2026-03-28T23:00:00Z".to_owned(), 23 * HOUR),
                ("2026-03-29T22:00:00Z".to_owned(), DAY),
            ]
        );
        assert_eq!(
            days("America/New_York", "2026-11-01T04:00:00Z"),
            [
                ("2026-11-01T04:00:00Z".to_owned(), 25 * HOUR),
                ("2026-11-02T05:00:00Z".to_owned(), DAY),
                ("2026-11-03T05:00:00Z".to_owned(), DAY),
            ]
        );
        // Half an hour, and a day that begins at one because midnight is skipped.
        assert_eq!(days("Australia/Lord_Howe", "2026-04-04T14:00:00Z")[0].1, 24 * HOUR + HOUR / 2);
        assert_eq!(days("America/Santiago", "2026-09-06T12:00:00Z")[0].0, "2026-09-06T04:00:00Z");
        // The clocks go back at midnight, and an hour of the day before comes twice.
        assert_eq!(
            days("America/Sao_Paulo", "2018-02-18T02:30:00Z")[..2],
            [
                ("2018-02-17T02:00:00Z".to_owned(), 25 * HOUR),
                ("2018-02-18T03:00:00Z".to_owned(), DAY),
            ]
        );
        // Samoa skipped a day when it crossed the date line.
        assert_eq!(
            days("Pacific/Apia", "2011-12-29T20:00:00Z")[..2],
            [("2011-12-29T10:00:00Z".to_owned(), DAY), ("2011-12-30T10:00:00Z".to_owned(), DAY),]
        );
        assert_eq!(days("America/New_York", "1970-01-01T00:00:00Z")[1].0, "1970-01-01T05:00:00Z");
    }

    #[test]
    fn months_begin_at_midnight_of_the_first() {
        let lengths = |zone, at, count| {
            let windows = windows(Period::Month, zone, at, count);
            (windows[0].0.clone(), windows.iter().map(|(_, length)| *length).collect::<Vec<_>>())
        };
        let (start, year) = lengths("UTC", "2028-01-31T23:59:59Z", 12);
        assert_eq!(start, "2028-01-01T00:00:00Z");
        let days = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        assert_eq!(year, days.map(|days| days * DAY));
        let (start, lengths) = lengths("Europe/Berlin", "2026-03-31T21:59:59Z", 2);
        assert_eq!(start, "2026-02-28T23:00:00Z");
        assert_eq!(lengths, [31 * DAY - HOUR, 30 * DAY]);
    }

    #[test]
    fn unknown_zones_are_rejected() {
        for name in
            ["", "Mars/Olympus", "../../etc/passwd", "Etc/Unknown", "Europe/Berlin\0", "local"]
        {
            let error = Zone::new(name).unwrap_err();
            assert_eq!(error.setting(), "time_zone", "{name:?}");
            assert!(error.to_string().contains("Europe/Berlin or UTC"), "{error}");
        }
        assert_eq!(Zone::new("europe/berlin").unwrap().name(), "Europe/Berlin");
    }

    #[test]
    fn table_time_never_decreases() {
        let calendar = Calendar::new(Period::Day, "America/New_York").unwrap();
        let start = seconds("2026-10-30T00:00:00Z");
        let times = (0..20 * DAY).step_by(600).map(|after| {
            let unix = Duration::from_secs(start + after);
            let time = calendar.table_time(unix);
            let (in_table, truly) = time.ends_in.unwrap();
            assert!(in_table > 0 && truly > 0 && truly <= 25 * HOUR * 1_000_000_000);
            time.at
        });
        assert!(times.is_sorted());
        let far = calendar.table_time(Duration::MAX);
        assert!(far.at > 0);
    }

    #[test]
    fn starts_are_two_periods_before_and_two_after() {
        let calendar = Calendar::new(Period::Month, "Asia/Tokyo").unwrap();
        let starts = calendar.starts(Duration::from_secs(seconds("2026-11-30T15:00:00Z")));
        let expected = ["2026-10-31", "2026-11-30", "2026-12-31", "2027-01-31"];
        assert_eq!(
            starts,
            expected.map(|day| Duration::from_secs(seconds(&format!("{day}T15:00:00Z"))))
        );
    }
}
