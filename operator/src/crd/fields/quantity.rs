//! Amounts as Kubernetes writes them: `10Gi`, `500m`, `1.5`, `2e3`.

use std::cmp::Ordering;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

/// An amount as Kubernetes writes it. In a manifest it may be a number too (`cpu: 1`); here it is
/// always text. What it amounts to is compared by [`Quantity::compare`], so `1024Mi` equals `1Gi`.
#[derive(Serialize, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(transparent)]
pub struct Quantity(String);

/// The least amount that Kubernetes tells apart is a nano.
const NANOS: i128 = 1_000_000_000;

impl Quantity {
    /// An amount from its text; whether the text is one is seen by [`Quantity::compare`].
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// An amount of bytes, rounded up to whole mebibytes, or gibibytes where there are many: for people.
    pub fn of_bytes(bytes: u64) -> Self {
        const MANY: u64 = 10 << 30;
        let (unit, name) = if bytes < MANY { (1 << 20, "Mi") } else { (1 << 30, "Gi") };
        Self(format!("{}{name}", bytes.div_ceil(unit)))
    }

    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How two amounts compare; `None` where one of them is not an amount.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        Some(nanos(&self.0)?.cmp(&nanos(&other.0)?))
    }

    /// Whether the text is an amount that Kubernetes would take.
    pub fn is_valid(&self) -> bool {
        nanos(&self.0).is_some()
    }

    /// The amount as bytes, rounded up; `None` where the text is not an amount of them.
    pub fn bytes(&self) -> Option<u64> {
        u64::try_from((nanos(&self.0)? + NANOS - 1) / NANOS).ok()
    }

    /// The schema of a volume's size: text only, so that CEL can compare it.
    pub(in crate::crd) fn size_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": 32,
        })
    }

    /// The schema of an amount of CPU or memory: a number or text.
    pub(in crate::crd) fn amount_schema() -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "maxLength": 32,
        })
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum TextOrNumber {
            Text(String),
            Number(i64),
        }
        Ok(Self(match TextOrNumber::deserialize(deserializer)? {
            TextOrNumber::Text(text) => text,
            TextOrNumber::Number(number) => number.to_string(),
        }))
    }
}

/// The amount in nanos, rounded up as Kubernetes rounds; `None` where the text is no amount or is
/// out of all bounds.
fn nanos(text: &str) -> Option<i128> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || fraction.len() > 18 {
        return None;
    }
    let mantissa: i128 = format!("0{whole}{fraction}").parse().ok()?;
    let (multiplier, divisor) = scale(suffix)?;
    let scaled = mantissa.checked_mul(multiplier)?.checked_mul(NANOS / divisor)?;
    let below = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    Some(scaled.checked_add(below - 1)?.div_euclid(below))
}

/// What a suffix multiplies by and divides by.
fn scale(suffix: &str) -> Option<(i128, i128)> {
    let binary = |power: u32| Some((1_i128 << (10 * power), 1));
    let decimal = |power: u32| Some((10_i128.checked_pow(power)?, 1));
    match suffix {
        "" => Some((1, 1)),
        "n" => Some((1, NANOS)),
        "u" => Some((1, 1_000_000)),
        "m" => Some((1, 1_000)),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        exponent => match exponent.strip_prefix(['e', 'E'])?.parse::<u32>() {
            Ok(power) if power <= 18 => decimal(power),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_compared_by_what_they_amount_to() {
        let compare = |a: &str, b: &str| Quantity::new(a).compare(&Quantity::new(b));
        assert_eq!(compare("1024Mi", "1Gi"), Some(Ordering::Equal));
        assert_eq!(compare("0.5", "500m"), Some(Ordering::Equal));
        assert_eq!(compare("1e3", "1k"), Some(Ordering::Equal));
        assert_eq!(compare("10Gi", "9Gi"), Some(Ordering::Greater));
        assert_eq!(compare("10G", "10Gi"), Some(Ordering::Less));
        assert_eq!(compare("1n", "1u"), Some(Ordering::Less));
    }

    #[test]
    fn what_is_no_amount_compares_with_nothing() {
        for text in ["", "Gi", "1.2.3", "ten", "1 Gi", "-1", "1e99", "1gi"] {
            assert!(!Quantity::new(text).is_valid(), "{text:?} was taken for an amount");
        }
    }

    #[test]
    fn a_number_in_a_manifest_is_an_amount() {
        let read = |json: &str| serde_json::from_str::<Quantity>(json).unwrap();
        assert_eq!(read("2").as_str(), "2");
        assert_eq!(read("\"500m\"").as_str(), "500m");
    }
}
