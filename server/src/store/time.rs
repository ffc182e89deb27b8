//! Converts optional moments between the domain and the driver.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;

pub(crate) fn to_sql(at: Option<Timestamp>) -> Option<jiff_sqlx::Timestamp> {
    at.map(Timestamp::to_sqlx)
}

pub(crate) fn from_sql(at: Option<jiff_sqlx::Timestamp>) -> Option<Timestamp> {
    at.map(jiff_sqlx::Timestamp::to_jiff)
}
