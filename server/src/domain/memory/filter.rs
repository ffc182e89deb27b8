//! Filters: conditions on the members of values.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::value::{InvalidValue, JsonText, MAX_DEPTH};

/// Most members of a filter.
pub const MAX_MEMBERS: usize = 16;
/// Most bytes of a filter.
pub const MAX_BYTES: usize = 64 << 10;

/// Conditions, all of which a value must meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter(Vec<Condition>);

/// A condition on one member of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The names of the member and, before it, of the objects that it is in.
    pub names: Vec<String>,
    /// How it is compared.
    pub operator: Operator,
    /// What it is compared with.
    pub operand: JsonText,
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// The same JSON value; numbers by their value.
    Eq,
    /// Not the same, or no such member.
    Ne,
    /// A greater number or string.
    Gt,
    /// The same or a greater number or string.
    Gte,
    /// A smaller number or string.
    Lt,
    /// The same or a smaller number or string.
    Lte,
}

/// Why a filter is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidFilter {
    /// It is not an object.
    #[error(
        r#"filter must be an object of members and conditions, such as {{"status": "open", "score": {{"$gte": 3}}}}"#
    )]
    NotAnObject,
    /// It has too many members.
    #[error("filter has {0} members; it may have {MAX_MEMBERS}")]
    TooManyMembers(usize),
    /// It is too large.
    #[error("filter has {0} bytes; it may have {MAX_BYTES}")]
    TooLarge(usize),
    /// No stored value can have what it asks for.
    #[error("filter: {0}")]
    Value(#[from] InvalidValue),
    /// A path without a name in it.
    #[error(
        "filter: {0:?} has an empty name; write the names of members with dots between them, such as \"a.b\""
    )]
    EmptyName(String),
    /// A path of more names than a value is deep.
    #[error("filter: {0:?} has more than {MAX_DEPTH} names, and no value is that deep")]
    TooDeep(String),
    /// An operator that does not exist.
    #[error(
        "filter: {path:?} has the unknown operator {operator:?}; known are {known}; to compare with an object that has such a member, use $eq",
        known = Operator::ALL.map(Operator::as_str).join(", ")
    )]
    UnknownOperator {
        /// The member.
        path: String,
        /// What is no operator.
        operator: String,
    },
    /// An order is asked for of what has none.
    #[error("filter: {op} of {path:?} must be a number or a string", op = .operator.as_str())]
    NoOrder {
        /// The member.
        path: String,
        /// The comparison.
        operator: Operator,
    },
}

impl Operator {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Eq, Self::Ne, Self::Gt, Self::Gte, Self::Lt, Self::Lte];

    /// The operator as clients write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "$eq",
            Self::Ne => "$ne",
            Self::Gt => "$gt",
            Self::Gte => "$gte",
            Self::Lt => "$lt",
            Self::Lte => "$lte",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operator| operator.as_str() == text)
    }

    /// Whether it takes any JSON; the others take what has an order.
    fn takes_any(self) -> bool {
        matches!(self, Self::Eq | Self::Ne)
    }
}

impl Filter {
    /// Parses the filter of a request.
    pub fn parse(given: &RawValue) -> Result<Self, InvalidFilter> {
        let bytes = given.get().len();
        if bytes > MAX_BYTES {
            return Err(InvalidFilter::TooLarge(bytes));
        }
        let filter = JsonText::normalise(given)?;
        let members = members(filter.as_str()).ok_or(InvalidFilter::NotAnObject)?;
        if members.len() > MAX_MEMBERS {
            return Err(InvalidFilter::TooManyMembers(members.len()));
        }
        let mut conditions = Vec::new();
        for (path, condition) in members {
            let names = names(&path)?;
            for (operator, operand) in comparisons(&path, condition.get())? {
                conditions.push(Condition { names: names.clone(), operator, operand });
            }
        }
        Ok(Self(conditions))
    }

    /// The conditions.
    pub fn conditions(&self) -> &[Condition] {
        &self.0
    }
}

/// The members of an object; none of another value.
fn members(json: &str) -> Option<BTreeMap<String, &RawValue>> {
    json.starts_with('{').then(|| serde_json::from_str(json).ok())?
}

fn names(path: &str) -> Result<Vec<String>, InvalidFilter> {
    let names: Vec<String> = path.split('.').map(str::to_owned).collect();
    if names.iter().any(String::is_empty) {
        return Err(InvalidFilter::EmptyName(shown(path)));
    }
    if names.len() > MAX_DEPTH {
        return Err(InvalidFilter::TooDeep(shown(path)));
    }
    Ok(names)
}

/// What the member at `path` is compared with: with a value, or by the operators of an object that has any.
fn comparisons(path: &str, condition: &str) -> Result<Vec<(Operator, JsonText)>, InvalidFilter> {
    let operators =
        members(condition).filter(|members| members.keys().any(|name| name.starts_with('$')));
    let Some(operators) = operators else {
        return Ok(vec![(Operator::Eq, JsonText::stored(condition))]);
    };
    let comparison = |(name, operand): (String, &RawValue)| {
        let operator = Operator::parse(&name).ok_or_else(|| InvalidFilter::UnknownOperator {
            path: shown(path),
            operator: shown(&name),
        })?;
        let has_order = operand.get().starts_with(['"', '-'])
            || operand.get().starts_with(|c: char| c.is_ascii_digit());
        if !has_order && !operator.takes_any() {
            return Err(InvalidFilter::NoOrder { path: shown(path), operator });
        }
        Ok((operator, JsonText::stored(operand.get())))
    };
    operators.into_iter().map(comparison).collect()
}

/// The beginning of a text, for a message.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(json: &str) -> Result<Filter, InvalidFilter> {
        Filter::parse(&RawValue::from_string(json.to_owned()).unwrap())
    }

    #[test]
    fn members_are_compared_with_values_or_by_operators() {
        let filter = parsed(
            r#"{"a.b": {"$gte": 0.1, "$lt": 12345678901234567890}, "c": {"d": [1.0]}, "e": null, "f": {"$eq": {"$x": {}}}}"#,
        );
        let filter = filter.unwrap();
        let told: Vec<_> = filter
            .conditions()
            .iter()
            .map(|of| (of.names.join(" "), of.operator.as_str(), of.operand.as_str()))
            .collect();
        let told: Vec<_> =
            told.iter().map(|(names, op, operand)| (names.as_str(), *op, *operand)).collect();
        assert_eq!(
            told,
            [
                ("a b", "$gte", "0.1"),
                ("a b", "$lt", "12345678901234567890"),
                ("c", "$eq", r#"{"d":[1.0]}"#),
                ("e", "$eq", "null"),
                ("f", "$eq", r#"{"$x":{}}"#),
            ]
        );
        assert_eq!(parsed("{}").unwrap().conditions(), []);
    }

    #[test]
    fn what_is_no_filter_is_told_why() {
        for json in ["[]", "1", "\"a\"", "null"] {
            assert_eq!(parsed(json), Err(InvalidFilter::NotAnObject), "{json}");
        }
        for path in ["", ".", "a.", ".a", "a..b"] {
            let error = parsed(&format!("{{\"{path}\": 1}}")).unwrap_err();
            assert_eq!(error, InvalidFilter::EmptyName(path.into()));
        }
        let deep = |names: usize| parsed(&format!("{{\"{}\": 1}}", vec!["a"; names].join(".")));
        assert!(deep(MAX_DEPTH).is_ok());
        assert!(matches!(deep(MAX_DEPTH + 1), Err(InvalidFilter::TooDeep(_))));
        let many = |members: usize| {
            let members: Vec<String> = (0..members).map(|n| format!("\"m{n}\": {n}")).collect();
            parsed(&format!("{{{}}}", members.join(",")))
        };
        assert!(many(MAX_MEMBERS).is_ok());
        assert_eq!(many(17), Err(InvalidFilter::TooManyMembers(17)));
        assert_eq!(parsed(r#"{"a": "\u0000"}"#), Err(InvalidFilter::Value(InvalidValue::Nul)));
        let large = parsed(&format!("{{\"a\": \"{}\"}}", "x".repeat(MAX_BYTES)));
        assert!(matches!(large, Err(InvalidFilter::TooLarge(_))));

        for json in [r#"{"a": {"$in": [1]}}"#, r#"{"a": {"$gt": 1, "b": 2}}"#, r#"{"a": {"$": 1}}"#]
        {
            let said = parsed(json).unwrap_err().to_string();
            assert!(said.contains("known are $eq, $ne, $gt, $gte, $lt, $lte"), "{json}: {said}");
        }
        for operand in ["null", "true", "[1]", "{}"] {
            let error = parsed(&format!(r#"{{"a": {{"$lte": {operand}}}}}"#)).unwrap_err();
            assert_eq!(error.to_string(), "filter: $lte of \"a\" must be a number or a string");
        }
    }
}
