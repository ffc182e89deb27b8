//! Keys, tenants and repeated puts, whose meaning a restore and its undoing keep.

use serde_json::{Value, json};

use super::place::Place;
use crate::support::api::{Client, new_key, tenants_key};
use crate::support::cli::admin;
use crate::support::eventually::eventually;

/// The Idempotency-Keys of a put before the backup, and of one after it.
const EARLY: &str = "early";
const LATE: &str = "late";

pub struct Marks {
    client: Client,
    /// A key that is revoked after the backup, and one that is revoked after the switch.
    revoked: [Client; 2],
    /// A tenant's, made after the backup.
    later: Client,
    early: Value,
    late: Value,
}

impl Marks {
    /// Some before the backup that is made meanwhile, some after it.
    pub async fn around_backup(place: &Place) -> Self {
        let client = place.clients[0].clone();
        let mut revoked = [client.clone(), client.clone()];
        for one in &mut revoked {
            one.key = new_key(&place.database, &[]).await;
            assert_eq!(status(one).await, 200);
        }
        let early = put(&client, EARLY).await;
        place.back_up();
        let late = put(&client, LATE).await;
        let later = client.with_key(&tenants_key(&place.database).await);
        later.put("/later", json!(1)).await;
        let marks = Self { client, revoked, later, early, late };
        marks.revoke(place, 0).await;
        marks
    }

    /// What was revoked stays so, who is new stays, a put whose version was lost is written once more, and no other one.
    pub async fn after_restore(&self, place: &Place) {
        assert_eq!(status(&self.revoked[0]).await, 401, "a revoked key is back");
        assert_eq!(self.later.get("/later").await["found"], false);
        assert_eq!(put(&self.client, EARLY).await, self.early);
        let anew = put(&self.client, LATE).await;
        assert_ne!(anew, self.late, "an answer names a version that is gone");
        assert_eq!(put(&self.client, LATE).await, anew);
        self.revoke(place, 1).await;
    }

    /// The same, and the puts of before are answered as before.
    pub async fn after_undoing(&self) {
        for revoked in &self.revoked {
            assert_eq!(status(revoked).await, 401, "a revoked key is back");
        }
        assert_eq!(self.later.get("/later").await["value"], 1);
        assert_eq!(put(&self.client, EARLY).await, self.early);
        assert_eq!(put(&self.client, LATE).await, self.late);
    }

    async fn revoke(&self, place: &Place, which: usize) {
        let client = &self.revoked[which];
        let (id, _) = client.key.split_once('.').unwrap();
        admin(&place.database, &["revoke-key", id]).text();
        // An API remembers keys for a moment.
        eventually("it is revoked", async || status(client).await, |status| *status == 401).await;
    }
}

async fn status(client: &Client) -> u16 {
    client.post("/v1/get", json!({"agent_id": "ada", "path": "/none"})).await.0.as_u16()
}

/// Puts with an Idempotency-Key, the same each time; returns the version's id.
async fn put(client: &Client, key: &str) -> Value {
    let body = json!({"agent_id": "ada", "path": format!("/marks/{key}"), "value": key});
    let (status, answer) = client.post_once(key, "/v1/put", body).await;
    assert_eq!(status, 200, "{answer}");
    answer["version_id"].clone()
}
