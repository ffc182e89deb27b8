//! Load over HTTP at a fixed rate: an open loop. Requests are due at moments that were set before, and latency counts from these, so
//! that a stall is part of the latency of each request that it delays.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail, ensure};
use url::Url;

use crate::sample::{Sample, percentile};
use crate::servers::Endpoint;
use crate::wrk::{Callers, Counted, Requests};

/// Time for all connections to be there before the first request is due.
const CONNECTING: Duration = Duration::from_millis(500);
/// Longest wait for an answer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
/// Most headers of an answer.
const MAX_HEADERS: usize = 32;

/// Sends `per_second` of `requests` for `seconds`; fails unless every one is answered as it must. A request whose moment finds all
/// connections waiting goes as soon as one is free.
pub async fn run(
    requests: Requests,
    endpoint: &Endpoint,
    callers: &Callers,
    per_second: f64,
    seconds: u32,
) -> anyhow::Result<Counted> {
    endpoint.forget_log()?;
    let url = Url::parse(&endpoint.url)?;
    let addresses = url.socket_addrs(|| None)?;
    let address = *addresses.first().context("the endpoint has no address")?;
    let (host, callers) = (address.to_string(), callers.clone());
    let schedule = Schedule {
        next: AtomicU64::new(0),
        length: Duration::from_secs(seconds.into()),
        begin: Instant::now() + CONNECTING,
        per_second,
    };
    let load = Load { requests, address, host, callers, schedule };
    let answered = tokio::task::spawn_blocking(move || load.run()).await??;
    Ok(Counted {
        answers: answered.len() as u64,
        sample: Sample {
            per_second: answered.len() as f64 / f64::from(seconds),
            p50_ms: percentile(&answered, 50),
            p99_ms: percentile(&answered, 99),
        },
    })
}

/// When requests are due.
struct Schedule {
    next: AtomicU64,
    length: Duration,
    begin: Instant,
    per_second: f64,
}

impl Schedule {
    /// The moment of the next request; `None` when there are no more.
    fn next(&self) -> Option<Instant> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let after = Duration::from_secs_f64(number as f64 / self.per_second);
        (after < self.length).then(|| self.begin + after)
    }
}

struct Load {
    requests: Requests,
    address: SocketAddr,
    host: String,
    callers: Callers,
    schedule: Schedule,
}

impl Load {
    /// Sorted latencies in milliseconds. A thread a connection: unlike a runtime's timers, which tick in milliseconds, it is woken
    /// within some fifty microseconds.
    fn run(&self) -> anyhow::Result<Vec<f64>> {
        let clients = thread::scope(|scope| {
            let clients: Vec<_> =
                (0..self.requests.connections).map(|_| scope.spawn(|| self.client())).collect();
            let ended = clients.into_iter().map(|client| {
                client.join().unwrap_or_else(|_| Err(anyhow!("a client of the open loop panicked")))
            });
            ended.collect::<anyhow::Result<Vec<_>>>()
        })?;
        let mut latencies = clients.concat();
        latencies.sort_by(f64::total_cmp);
        Ok(latencies)
    }

    fn client(&self) -> anyhow::Result<Vec<f64>> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWERED_WITHIN))?;
        let (mut latencies, mut buffer) = (Vec::new(), Vec::new());
        while let Some(due) = self.schedule.next() {
            let request = self.request();
            thread::sleep(due.saturating_duration_since(Instant::now()));
            stream.write_all(request.as_bytes())?;
            let body = answer(&mut stream, &mut buffer)
                .with_context(|| format!("{} at a fixed rate", self.requests.route))?;
            latencies.push(due.elapsed().as_secs_f64() * 1000.0);
            let expected = self.requests.expect.as_bytes();
            ensure!(
                body.windows(expected.len()).any(|part| part == expected),
                "{} was answered by {}",
                self.requests.route,
                String::from_utf8_lossy(body)
            );
        }
        Ok(latencies)
    }

    /// A request for an entry.
    fn request(&self) -> String {
        let Requests { route, body, .. } = self.requests;
        let population = self.callers.population;
        let entry = rand::random_range(population.first()..population.first() + population.entries);
        let key = &self.callers.keys[entry as usize % self.callers.keys.len()];
        let body = body.replace("000000", &entry.to_string());
        format!(
            "POST {route} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        )
    }
}

/// Reads an answer of status 200 into `buffer` and returns its body.
fn answer<'b>(stream: &mut TcpStream, buffer: &'b mut Vec<u8>) -> anyhow::Result<&'b [u8]> {
    buffer.clear();
    let mut chunk = [0; 16 << 10];
    let body = loop {
        let read = stream.read(&mut chunk)?;
        ensure!(read > 0, "the connection was closed");
        buffer.extend_from_slice(&chunk[..read]);
        if let Some(body) = body(buffer)?
            && body.end <= buffer.len()
        {
            break body;
        }
    };
    Ok(&buffer[body])
}

/// Where the body of an answer is, as soon as its head is whole.
fn body(answer: &[u8]) -> anyhow::Result<Option<std::ops::Range<usize>>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(begin) = head.parse(answer)? else { return Ok(None) };
    if head.code != Some(200) {
        bail!("it was answered by {}", String::from_utf8_lossy(answer));
    }
    let is_length =
        |header: &&httparse::Header<'_>| header.name.eq_ignore_ascii_case("content-length");
    let length = head.headers.iter().find(is_length).context("an answer without content-length")?;
    let length: usize = std::str::from_utf8(length.value)?.trim().parse()?;
    Ok(Some(begin..begin + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "HTTP/1.1 200 OK\r\nx-request-id: a\r\nContent-Length: 4\r\n\r\n";

    #[test]
    fn an_answer_is_whole_with_its_body() {
        assert_eq!(body(&HEAD.as_bytes()[..40]).unwrap(), None);
        let whole = format!("{HEAD}true");
        let range = body(whole.as_bytes()).unwrap().unwrap();
        assert_eq!(&whole[range], "true");
        assert_eq!(body(HEAD.as_bytes()).unwrap().unwrap().end, whole.len(), "still to come");
        assert!(body(HEAD.replace("200 OK", "429 No").as_bytes()).is_err());
    }

    #[test]
    fn requests_are_due_at_a_fixed_rate() {
        let begin = Instant::now();
        let length = Duration::from_millis(25);
        let schedule = Schedule { next: AtomicU64::new(0), length, begin, per_second: 100.0 };
        let due: Vec<Duration> =
            std::iter::from_fn(|| schedule.next()).map(|at| at - begin).collect();
        assert_eq!(due, [0, 10, 20].map(Duration::from_millis));
    }

    #[test]
    fn a_stall_is_part_of_each_request_that_it_delays() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // One connection, whose first answer takes 100 ms, at 100 requests a second.
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 4096];
            let mut is_first = true;
            while stream.read(&mut buffer).is_ok_and(|read| read > 0) {
                if std::mem::take(&mut is_first) {
                    thread::sleep(Duration::from_millis(100));
                }
                stream.write_all(format!("{HEAD}true").as_bytes()).unwrap();
            }
        });
        let load = Load {
            requests: Requests { route: "/", body: "000000", expect: "true", connections: 1 },
            address,
            host: address.to_string(),
            callers: Callers { keys: vec!["key".into()], population: crate::entries::DEFAULT },
            schedule: Schedule {
                next: AtomicU64::new(0),
                length: Duration::from_millis(95),
                begin: Instant::now(),
                per_second: 100.0,
            },
        };
        let latencies = load.run().unwrap();
        assert_eq!(latencies.len(), 10);
        assert!(
            latencies[5] >= 40.0,
            "the middle one was delayed by half of the stall: {latencies:?}"
        );
        server.join().unwrap();
    }
}
