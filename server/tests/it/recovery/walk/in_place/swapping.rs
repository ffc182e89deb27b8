//! A database that serves while it is restored in place, and what has to hold of it at any time.

use std::collections::BTreeSet;
use std::time::Duration;

use agentfs_server::maintenance::stored_bytes::settle;
use agentfs_server::recovery::FaultPoint;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::sleep;
use uuid::Uuid;

use super::live::{self, Memory};
use crate::recovery::walk::Walked;
use crate::recovery::walk::place::{Place, succeeds};
use crate::recovery::walk::remains;
use crate::support::api::{Client, new_key};
use crate::support::eventually::eventually;
use crate::support::process::Process;
use crate::support::stored::UNBOOKED_BYTES;

/// A model with its vectors, and the indexes of these and of their chunks.
const VECTORS: &str = "
    INSERT INTO embedding_models (name, dimensions, state) VALUES ('test', 3, 'serving');
    INSERT INTO embeddings (tenant_id, agent_id, path, model_id, version_id, embedding)
    SELECT tenant_id, agent_id, path, 1, latest_version_id, '[0.125,0.25,0.75]' FROM entries;
    CREATE INDEX embeddings_hnsw_1 ON embeddings USING hnsw ((embedding::halfvec(3)) halfvec_cosine_ops)
                                   WITH (m = 16, ef_construction = 100) WHERE model_id = 1;
    CREATE INDEX embedding_chunks_hnsw_1 ON embedding_chunks USING hnsw ((embedding::halfvec(3)) halfvec_cosine_ops)
                                   WITH (m = 16, ef_construction = 100) WHERE model_id = 1";

pub(super) struct Swapping {
    walked: Walked,
    pub(super) place: Place,
    client: Client,
    shape: BTreeSet<String>,
}

/// What is live before the command, and what after it.
pub(super) struct Sides {
    pub(super) before: Memory,
    pub(super) after: Memory,
}

impl Swapping {
    pub(super) async fn make(walked: Walked) -> Self {
        let place = Place::make(walked).await;
        place.database.execute(VECTORS).await;
        let url = place.api.as_ref().map(Process::url).unwrap();
        let client = Client::new(url, new_key(&place.database, &[]).await);
        let shape = live::shape(&place.database).await;
        Self { walked, place, client, shape }
    }

    /// Makes what the command needs: a backup, writes after it, and for an undoing the restore that is undone, with writes after
    /// that as well.
    pub(super) async fn prepare(&self) -> Sides {
        self.write("/kept").await;
        self.place.backup().await;
        let backed_up = self.memory().await;
        self.write("/kept").await;
        self.write("/later").await;
        let later = self.memory().await;
        // The names of backups tell seconds apart, and no less.
        sleep(Duration::from_secs(1)).await;
        if self.walked != Walked::Undo {
            return Sides { before: later, after: backed_up };
        }
        succeeds("the restore", || self.place.restore_in_place(&[], None)).await;
        assert_eq!(self.memory().await, backed_up);
        self.write("/after").await;
        Sides { before: self.memory().await, after: later }
    }

    pub(super) async fn memory(&self) -> Memory {
        live::memory(&self.place.database).await
    }

    /// The OID of the live table of entries.
    pub(super) async fn entries(&self) -> i64 {
        self.place.database.number("SELECT 'public.entries'::regclass::oid::bigint").await
    }

    /// Puts something once, by a request that is repeated as an agent repeats it, and reads it.
    pub(super) async fn write(&self, path: &str) {
        let (key, value) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
        let body = json!({"agent_id": "ada", "path": path, "value": value, "searchable": true});
        let put = async || self.client.post_once(&key, "/v1/put", body.clone()).await;
        eventually("the API writes", put, |(status, _)| *status == StatusCode::OK).await;
        let body = json!({"agent_id": "ada", "path": path});
        let get = async || self.client.post("/v1/get", body.clone()).await;
        let (_, got) =
            eventually("the API reads", get, |(status, _)| *status == StatusCode::OK).await;
        assert_eq!(got["value"], value, "{got}");
    }

    /// Whether it is switched. What is live is all of before or all of after, whenever the command ended, and the API serves.
    pub(super) async fn is_sound(&self, point: FaultPoint, sides: &Sides) -> bool {
        let what = format!("{:?} at {point:?}", self.walked);
        self.place.is_sound(point).await;
        live::is_whole(&what, &self.place.database).await;
        let memory = self.memory().await;
        let switched = memory == sides.after;
        assert!(switched || memory == sides.before, "{what}: neither of before nor of after");
        self.write("/alive").await;
        switched
    }

    /// The next run succeeds and switches only where it was not switched, and nothing of the killed one is left. One that has
    /// finished is not run again: it would undo the undoing.
    pub(super) async fn run_again(
        &self,
        point: FaultPoint,
        sides: &Sides,
        switched: bool,
        finished: bool,
    ) {
        let what = format!("{:?} after {point:?}", self.walked);
        if !finished {
            let (served, entries) = (self.memory().await, self.entries().await);
            let ended = succeeds(&what, || self.place.start(None)).await;
            assert_eq!(ended.json()["had_switched"], Value::Bool(switched), "{what}: {ended:?}");
            assert_eq!(self.entries().await == entries, switched, "{what}: {ended:?}");
            let expected = if switched { &served } else { &sides.after };
            assert_eq!(&self.memory().await, expected, "{what}: {ended:?}");
        }
        self.leaves_nothing(&what, point).await;
    }

    /// All is as after the command, and nothing else is left of it.
    pub(super) async fn is_finished(&self, point: FaultPoint, sides: &Sides) {
        let what = format!("{:?} at {point:?}", self.walked);
        live::is_whole(&what, &self.place.database).await;
        assert_eq!(self.memory().await, sides.after, "{what}");
        self.write("/alive").await;
        self.leaves_nothing(&what, point).await;
    }

    async fn leaves_nothing(&self, what: &str, point: FaultPoint) {
        let database = &self.place.database;
        self.place.is_sound(point).await;
        if remains::end_leases(&self.place.location()) {
            self.place.backup().await;
        }
        let left = remains::files(&self.place.location(), &self.place.temporary());
        assert_eq!(left, [""; 0], "{what}");
        assert_eq!(live::shape(database).await, self.shape, "{what}");
        live::is_clean(what, database, true).await;
        settle(&database.address().pool(1)).await.unwrap();
        assert_eq!(database.number(UNBOOKED_BYTES).await, 0, "{what}: bytes are not booked");
        succeeds("the drop", || self.place.restore(&["--drop-previous", "--yes"], None)).await;
        live::is_clean(what, database, false).await;
    }
}
