//! Schedules, as a CronJob takes them.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// The schema of a schedule. What its fields amount to is left to the operator: ranges that run backwards, and days that never come.
pub(in crate::crd) fn schedule(_: &mut SchemaGenerator) -> Schema {
    let short = "@(yearly|annually|monthly|weekly|daily|midnight|hourly)";
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 128,
        "x-kubernetes-validations": [
            {
                "rule": "!self.contains('TZ=')",
                "message": "the time zone does not belong in the schedule; set timeZone",
            },
            {
                "rule": format!("self.contains('TZ=') || self.matches('^({short}| *([^ ]+ +){{4}}[^ ]+ *)$')"),
                "message": "must have five fields, minute hour day-of-month month day-of-week, or be one of @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly; example: 0 2 * * *",
            },
            field(0, "[0-5]?[0-9]", "the minute, its first field, must be from 0 to 59"),
            field(1, "[01]?[0-9]|2[0-3]", "the hour, its second field, must be from 0 to 23"),
            field(
                2,
                "0?[1-9]|[12][0-9]|3[01]",
                "the day of the month, its third field, must be from 1 to 31",
            ),
            field(
                3,
                "0?[1-9]|1[0-2]|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec",
                "the month, its fourth field, must be from 1 to 12 or jan to dec",
            ),
            field(
                4,
                "[0-6]|sun|mon|tue|wed|thu|fri|sat",
                "the day of the week, its fifth field, must be from 0 to 6 or sun to sat; Sunday is 0",
            ),
        ],
    })
}

/// A rule that the field `at` of a schedule, where it has five, is a list of values, ranges and steps.
fn field(at: usize, value: &str, message: &str) -> Value {
    let item = format!("([*?]|({value})(-({value}))?)(/[1-9][0-9]?)?");
    let after = 4 - at;
    json!({
        "rule": format!(
            "!self.matches('^ *([^ ]+ +){{4}}[^ ]+ *$') || \
             self.matches('(?i)^ *([^ ]+ +){{{at}}}{item}(,{item})*( +[^ ]+){{{after}}} *$')"
        ),
        "message": message,
    })
}
