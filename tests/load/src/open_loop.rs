//! Load over HTTP at a fixed rate: an open loop. Requests are due at moments that were set before, and latency counts from these, so
//! that a stall is part of the latency of each request that it delays.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
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
/// Most answers that are taken at a time.
const MAX_EVENTS: usize = 256;
/// In what steps the wait for answers counts.
const TICK: Duration = Duration::from_millis(1);

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
    length: Duration,
    begin: Instant,
    per_second: f64,
}

impl Schedule {
    /// The moments of all requests, one after the other.
    fn moments(&self) -> impl Iterator<Item = Instant> {
        let after =
            (0_u64..).map(|number| Duration::from_secs_f64(number as f64 / self.per_second));
        after.take_while(|after| *after < self.length).map(|after| self.begin + after)
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
    /// Sorted latencies in milliseconds. One thread for all connections takes little of the machine that it measures.
    fn run(&self) -> anyhow::Result<Vec<f64>> {
        let mut poll = Poll::new()?;
        let mut events = Events::with_capacity(MAX_EVENTS);
        let mut connections = (0..self.requests.connections as usize)
            .map(|place| Connection::new(self.address, &poll, Token(place)))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let mut free: VecDeque<usize> = (0..connections.len()).collect();
        let mut moments = self.schedule.moments().peekable();
        let mut latencies = Vec::new();
        loop {
            while let Some(place) = free.front()
                && let Some(due) = moments.next_if(|due| *due <= Instant::now())
            {
                connections[*place].send(&self.request(), due)?;
                free.pop_front();
            }
            if moments.peek().is_none() && free.len() == connections.len() {
                break;
            }
            let next = moments.peek().filter(|_| !free.is_empty());
            wait(&mut poll, &mut events, next.copied())?;
            for event in &events {
                let Token(place) = event.token();
                let received = connections[place].receive(self.requests.expect);
                let received =
                    received.with_context(|| format!("{} at a fixed rate", self.requests.route))?;
                if let Some(latency) = received {
                    latencies.push(latency.as_secs_f64() * 1000.0);
                    free.push_back(place);
                }
            }
        }
        latencies.sort_by(f64::total_cmp);
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

/// Waits until an answer comes, or until `next`. The kernel's wait for answers counts in milliseconds; what is due sooner is slept for.
fn wait(poll: &mut Poll, events: &mut Events, next: Option<Instant>) -> anyhow::Result<()> {
    let within = next.map(|next| next.saturating_duration_since(Instant::now()));
    let whole = match within {
        None => ANSWERED_WITHIN,
        Some(within) if within < TICK => {
            thread::sleep(within);
            Duration::ZERO
        }
        Some(within) => within.saturating_sub(TICK),
    };
    match poll.poll(events, Some(whole)) {
        Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
        polled => polled?,
    }
    ensure!(next.is_some() || !events.is_empty(), "no answer came within {ANSWERED_WITHIN:?}");
    Ok(())
}

/// A connection, with at most one request at a time.
struct Connection {
    stream: TcpStream,
    due: Instant,
    answer: Vec<u8>,
}

impl Connection {
    fn new(address: SocketAddr, poll: &Poll, token: Token) -> anyhow::Result<Self> {
        let stream = std::net::TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        poll.registry().register(&mut stream, token, Interest::READABLE)?;
        Ok(Self { stream, due: Instant::now(), answer: Vec::new() })
    }

    /// Sends a request that is due at that moment. It is small, so that the socket takes it whole.
    fn send(&mut self, request: &str, due: Instant) -> anyhow::Result<()> {
        self.stream.write_all(request.as_bytes())?;
        self.due = due;
        Ok(())
    }

    /// Reads what has come. With a whole answer of status 200, whose body holds `expected`: how long it took since it was due.
    fn receive(&mut self, expected: &str) -> anyhow::Result<Option<Duration>> {
        let mut chunk = [0; 16 << 10];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => bail!("the connection was closed"),
                Ok(read) => self.answer.extend_from_slice(&chunk[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error.into()),
            }
            if let Some(body) = body(&self.answer)?.and_then(|body| self.answer.get(body)) {
                let latency = self.due.elapsed();
                let body = String::from_utf8_lossy(body);
                ensure!(body.contains(expected), "it was answered by {body}");
                self.answer.clear();
                return Ok(Some(latency));
            }
        }
    }
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
        let schedule = Schedule { length, begin, per_second: 100.0 };
        let due: Vec<Duration> = schedule.moments().map(|at| at - begin).collect();
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
