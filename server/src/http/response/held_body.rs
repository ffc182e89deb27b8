//! Bodies of answers that hold their bytes of the budget until their clients have taken them.

use axum::body::{Body, Bytes};

use crate::runtime::byte_budget::Reservation;

/// The bytes of an answer, with those of the budget. Both live until the last of them is written.
struct Held {
    bytes: Bytes,
    _reserved: Reservation,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The body of `bytes`; what it does not need of `reserved` is given back at once.
pub(crate) fn of(bytes: impl Into<Bytes>, mut reserved: Reservation) -> Body {
    let bytes = bytes.into();
    reserved.shrink(bytes.len());
    if reserved.bytes() == 0 {
        return bytes.into();
    }
    Bytes::from_owner(Held { bytes, _reserved: reserved }).into()
}

#[cfg(test)]
mod tests {
    use axum::body::HttpBody as _;
    use futures::StreamExt as _;

    use super::*;
    use crate::runtime::byte_budget::ByteBudget;
    use crate::runtime::metrics::Metrics;

    #[tokio::test]
    async fn the_budget_has_its_bytes_back_when_the_last_part_is_written() {
        let budget = ByteBudget::new(1 << 20, Metrics::new().unwrap());
        let used = || budget.used_and_free().0;
        let body = of(vec![b'x'; 10_000], budget.try_reserve(None, 20_000).unwrap());
        assert_eq!((body.size_hint().exact(), used()), (Some(10_000), 10_000));
        let mut body = body.into_data_stream();
        let mut part = body.next().await.unwrap().unwrap();
        drop(body);
        let rest = part.split_off(9_999);
        drop(part);
        assert_eq!(used(), 10_000, "hyper writes it part by part");
        drop(rest);
        assert_eq!(used(), 0);
        let small = of(vec![b'x'], budget.try_reserve(None, 20_000).unwrap());
        assert_eq!((small.size_hint().exact(), used()), (Some(1), 0));
    }
}
