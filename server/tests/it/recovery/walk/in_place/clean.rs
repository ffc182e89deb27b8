//! Each step of a restore that empties the live tables and fills them, with kill -9 of the program between it and the next: until they are
//! empty all of before is served, then nothing, and from its COMMIT on the backup.

use agentfs_server::recovery::FaultPoint as P;

use super::has_switched;
use super::swapping::Swapping;
use crate::recovery::walk::Walked;
use crate::recovery::walk::place::succeeds;

const GATE: &str = "SELECT count(*) FROM schema_version";
const UNFINISHED: &str =
    "SELECT count(*) FROM agentfs_meta.restores WHERE phase NOT IN ('finished', 'given up')";

#[tokio::test]
#[ignore = "takes minutes"]
async fn a_killed_restore_by_filling_is_brought_to_its_end() {
    let swapping = Swapping::make(Walked::Clean).await;
    let place = &swapping.place;
    for point in Walked::Clean.points() {
        let sides = swapping.prepare().await;
        let killed = place.start(Some(point.name())).ended().await;
        assert!(killed.is_killed(), "it does not come past {point:?}: {killed:?}");
        place.is_sound(point).await;
        let is_closed =
            matches!(point, P::Closed | P::Emptied | P::Loaded | P::Compared | P::Filled);
        assert_eq!(place.database.number(GATE).await, i64::from(!is_closed), "{point:?}");
        // A lease is released once it has switched.
        let switched = has_switched(point) || point == P::LeaseRemoved;
        if !is_closed {
            let serves = if switched { &sides.after } else { &sides.before };
            assert_eq!(&swapping.memory().await, serves, "{point:?}");
        }
        succeeds(&format!("after {point:?}"), || place.start(None)).await;
        assert_eq!(swapping.memory().await, sides.after, "{point:?}");
        assert_eq!(place.database.number(UNFINISHED).await, 0, "{point:?}");
        swapping.write("/alive").await;
    }
}
