//! Gets and puts of three processes of the API beside one, on one database.

use agentfs_load::entries::DEFAULT;
use agentfs_load::wrk;

use crate::deployment::Bench;
use crate::report::Row;
use crate::turns::turns;

/// How both sorts of requests fare.
pub(crate) async fn measure(bench: &mut Bench<'_>) -> anyhow::Result<Vec<Row>> {
    let one = bench.deploy("processes", DEFAULT).await?;
    let mut apis = one.apis.clone();
    for _ in 0..2 {
        apis.push(bench.start_api(&one.url).await?);
    }
    let three = one.served_by(apis);
    let mut rows = Vec::new();
    for (name, requests) in [("gets", wrk::GET), ("puts", wrk::PUT)] {
        bench.postgres.recycle_wal().await?;
        three.warm_up(bench, requests).await?;
        let of_three = async || three.closed(bench, requests).await;
        let of_one = async || one.closed(bench, requests).await;
        let both = turns(bench.plan.rounds, of_three, of_one).await?;
        rows.push(both.row(format!("{name}, three processes ÷ one"), None));
    }
    bench.end([one]).await?;
    Ok(rows)
}
