//! When a schedule is due, as far as the operator has to know: whether it is one, and how long the longest
//! time between two of its moments is. Kubernetes itself sees to the moments.

use std::time::Duration;

use jiff::ToSpan as _;
use jiff::civil::{Date, date};

/// Days that are looked at: long enough for a leap day to come round, also over the turn of a century.
const DAYS: usize = 366 * 9;
const MINUTES_OF_DAY: u64 = 24 * 60;

/// The longest time between two moments of a schedule; what is wrong with it otherwise.
pub(super) fn longest_gap(schedule: &str) -> Result<Duration, String> {
    let fields: Vec<&str> = schedule.split(' ').collect();
    let [minute, hour, day, month, weekday] = fields[..] else {
        return Err("a schedule has five fields: minute, hour, day, month, day of the week".into());
    };
    let minutes = moments(minute, "minute", 0, 59)?;
    let hours = moments(hour, "hour", 0, 23)?;
    let days = moments(day, "day of the month", 1, 31)?;
    let months = moments(month, "month", 1, 12)?;
    let weekdays = moments(weekday, "day of the week", 0, 6)?;
    // Cron's own rule: of two days that are both said, either will do.
    let (any_day, any_weekday) = (day.starts_with('*'), weekday.starts_with('*'));
    let falls_on = |date: Date| {
        let by_day = has(days, u64::from(date.day().unsigned_abs()));
        let by_weekday =
            has(weekdays, u64::from(date.weekday().to_sunday_zero_offset().unsigned_abs()));
        let fits = if any_day || any_weekday { by_day && by_weekday } else { by_day || by_weekday };
        fits && has(months, u64::from(date.month().unsigned_abs()))
    };
    let of_day: Vec<u64> = (0..MINUTES_OF_DAY)
        .filter(|minute| has(hours, minute / 60) && has(minutes, minute % 60))
        .collect();
    let within = of_day.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
    let (first, last) = (of_day[0], of_day[of_day.len() - 1]);
    // The turn of the century without a leap day is in it.
    let all = date(2096, 1, 1).series(1.day()).take(DAYS).enumerate();
    let dates: Vec<u64> =
        all.filter(|(_, date)| falls_on(*date)).map(|(index, _)| index as u64).collect();
    let between = dates.windows(2).map(|pair| (pair[1] - pair[0]) * MINUTES_OF_DAY + first - last);
    match between.max() {
        Some(between) => Ok(Duration::from_secs(60 * between.max(within))),
        None => Err("no day is ever both in such a month and on such a day".into()),
    }
}

fn has(moments: u64, moment: u64) -> bool {
    moments >> moment & 1 == 1
}

/// The values of one field, a bit for each.
fn moments(field: &str, what: &str, least: u64, most: u64) -> Result<u64, String> {
    let mut found = 0;
    for part in field.split(',') {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let number = |text: &str| {
            let number = text.parse::<u64>().ok().filter(|n| (least..=most).contains(n));
            number.ok_or_else(|| format!("`{text}` is no {what} from {least} to {most}"))
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (least, most),
            Some((from, to)) => (number(from)?, number(to)?),
            // With a step, a single value is where an open range begins.
            None if part.contains('/') => (number(range)?, most),
            None => (number(range)?, number(range)?),
        };
        let step = step.parse::<u64>().ok().filter(|step| (1..=most).contains(step));
        let step = step.ok_or_else(|| format!("`{part}` has no step that fits a {what}"))?;
        if from > to {
            return Err(format!("`{part}` ends before it begins"));
        }
        found |= (from..=to)
            .filter(|value| (value - from) % step == 0)
            .fold(0, |bits, value| bits | 1 << value);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_is_that_of_the_calendar() {
        let hours = |schedule| longest_gap(schedule).unwrap().as_secs_f64() / 3600.0;
        for (schedule, expected) in [
            ("0 3 * * *", 24.0),
            ("*/15 * * * *", 0.25),
            ("30 8-20/4 * * *", 12.0),
            ("0 3 * * 1-5", 72.0),
            ("0 3 1 * *", 31.0 * 24.0),
            ("0 3 1 * 1", 7.0 * 24.0),
            ("0 3 31 * *", 61.0 * 24.0),
            ("0,59 0,23 * * *", 22.0 + 1.0 / 60.0),
            ("0 3 29 2 *", (8.0 * 365.0 + 1.0) * 24.0),
        ] {
            let found = hours(schedule);
            assert!((found - expected).abs() < 1e-6, "{schedule}: {found}");
        }
    }

    #[test]
    fn what_is_no_schedule_says_why() {
        for schedule in [
            "0 3 * *",
            "60 3 * * *",
            "0 24 * * *",
            "0 3 0 * *",
            "0 3 * 13 *",
            "0 3 * * 7",
            "0 5-3 * * *",
            "*/0 3 * * *",
            "*/60 3 * * *",
            "0 3 30 2 *",
            ", 3 * * *",
            "1- 3 * * *",
            "0 3 * * *,*/",
        ] {
            let found = longest_gap(schedule);
            assert!(found.is_err(), "{schedule}: {found:?}");
        }
    }
}
