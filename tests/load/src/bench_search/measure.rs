//! Asking, and comparing the answers with what all vectors say.

use std::fmt;
use std::time::Instant;

use anyhow::{Context as _, bail};
use reqwest::Client;
use serde_json::{Value, json};

use crate::entries::place;
use crate::provider::text;
use crate::vectors::{Space, cosine};

/// Results asked for.
const LIMIT: usize = 10;
/// Least part of the nearest that must be found.
const LEAST_RECALL: f64 = 0.98;
/// What half precision makes of the likeness of two vectors: nearer ones are equals.
const EQUAL: f32 = 1e-3;
/// Things from here on are queries, none of them an entry.
const QUERIES: u64 = 1 << 40;

/// What a search keeps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filter {
    name: &'static str,
    field: &'static str,
    value: &'static str,
}

const fn filter(name: &'static str, field: &'static str, value: &'static str) -> Filter {
    Filter { name, field, value }
}

/// All filters that are measured.
pub(crate) const FILTERS: [Filter; 7] = [
    filter("all", "path_prefix", "/"),
    filter("tags, 10 %", "tags_any", "tenth"),
    filter("tags, 1 %", "tags_any", "hundredth"),
    filter("tags, 0.1 %", "tags_any", "thousandth"),
    filter("prefix, 9 %", "path_prefix", "/tenth"),
    filter("prefix, 0.9 %", "path_prefix", "/hundredth"),
    filter("prefix, 0.1 %", "path_prefix", "/thousandth"),
];

impl Filter {
    fn keeps(self, thing: usize) -> bool {
        let (folder, tags) = place(thing);
        match self.field {
            "tags_any" => tags.contains(&self.value),
            _ => self.value == "/" || self.value == folder,
        }
    }

    fn request(self, query: &str) -> Value {
        let value = if self.field == "tags_any" { json!([self.value]) } else { json!(self.value) };
        json!({"agent_id": "ada", "query": query, "limit": LIMIT, self.field: value})
    }
}

/// What was measured of a filter.
#[derive(Debug)]
pub(crate) struct Row {
    vectors: usize,
    filter: &'static str,
    returned: f64,
    recall: f64,
    p50_ms: f64,
    p95_ms: f64,
}

impl Row {
    pub(crate) const HEADING: &str =
        "vectors  keeps           returned/asked  recall@10  p50 ms  p95 ms";

    /// No filter costs results, and the nearest are found.
    pub(crate) fn is_good(&self) -> bool {
        self.returned >= 1.0 && self.recall >= LEAST_RECALL
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { vectors, filter, returned, recall, p50_ms, p95_ms } = self;
        write!(
            f,
            "{vectors:>7}  {filter:<14}  {returned:>14.3}  {recall:>9.3}  {p50_ms:>6.1}  {p95_ms:>6.1}"
        )?;
        if !self.is_good() {
            f.write_str("  too low")?;
        }
        Ok(())
    }
}

/// Asks one API about the first `things` things.
#[derive(Debug)]
pub(crate) struct Asker<'a> {
    client: Client,
    url: String,
    key: &'a str,
    space: &'a Space,
    vectors: Vec<Vec<f32>>,
}

impl<'a> Asker<'a> {
    pub(crate) fn new(
        url: &str,
        key: &'a str,
        space: &'a Space,
        things: usize,
    ) -> anyhow::Result<Self> {
        let client = Client::builder().no_proxy().build()?;
        let vectors = (0..things).map(|thing| space.vector(thing as u64)).collect();
        Ok(Self { client, url: format!("{url}/v1/search"), key, space, vectors })
    }

    /// Asks `queries` times with a filter, one after the other; each query has been embedded before.
    pub(crate) async fn measure(&self, filter: Filter, queries: u32) -> anyhow::Result<Row> {
        let (mut times, mut returned, mut asked, mut right) = (Vec::new(), 0, 0, 0);
        for number in 0..u64::from(queries) {
            let query = QUERIES + number;
            self.ask(filter, query).await?;
            let began = Instant::now();
            let found = self.ask(filter, query).await?;
            times.push(began.elapsed().as_secs_f64() * 1000.0);
            let nearest = self.nearest(filter, query);
            let wanted = nearest.len().min(LIMIT);
            returned += found.len();
            asked += wanted;
            let least = nearest.get(wanted - 1).context("the filter keeps nothing")?.1 - EQUAL;
            let is_near = |thing: &&usize| {
                nearest.iter().any(|(n, likeness)| n == *thing && *likeness >= least)
            };
            right += found.iter().filter(is_near).count();
        }
        times.sort_by(f64::total_cmp);
        let quantile = |percent: usize| times[(times.len() - 1) * percent / 100];
        Ok(Row {
            vectors: self.vectors.len(),
            filter: filter.name,
            returned: returned as f64 / asked as f64,
            recall: right as f64 / asked as f64,
            p50_ms: quantile(50),
            p95_ms: quantile(95),
        })
    }

    async fn ask(&self, filter: Filter, query: u64) -> anyhow::Result<Vec<usize>> {
        let body = filter.request(&text(query)).to_string();
        let request = self.client.post(&self.url).bearer_auth(self.key).body(body);
        let answer = request.header("content-type", "application/json").send().await?;
        let answer: Value = serde_json::from_str(&answer.error_for_status()?.text().await?)?;
        if let Some(note) = answer.get("note") {
            bail!("a search was not by meaning: {note}");
        }
        let results = answer["results"].as_array().context("no results")?;
        results
            .iter()
            .map(|result| {
                let path = result["path"].as_str().context("no path")?;
                Ok(path.rsplit('/').next().unwrap_or_default().parse()?)
            })
            .collect()
    }

    /// All things that the filter keeps, the nearest first, as far as it matters.
    fn nearest(&self, filter: Filter, query: u64) -> Vec<(usize, f32)> {
        let query = self.space.vector(query);
        let mut all: Vec<(usize, f32)> = (0..self.vectors.len())
            .filter(|thing| filter.keeps(*thing))
            .map(|thing| (thing, cosine(&self.vectors[thing], &query)))
            .collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        all.truncate(10 * LIMIT);
        all
    }
}
