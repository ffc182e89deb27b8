//! Puts the entries of a file.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use agentfs_contract::manifest::hex;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::batch::{AROUND, Batch, Operation, Refused, Sent};
use super::client::{Client, ClientError, patiently};
use super::import_error::{Done, ImportError, Wrong};
use super::line::{Destination, Todo};
use super::lines::{Lines, MAX_LINE, Place, Text};
use super::progress::Progress;
use super::state::{State, StateFile};
use crate::domain::LARGEST_BODY;
use crate::domain::memory::agent_id::AgentId;
use crate::domain::memory::path::Prefix;

/// Most wrong lines that are listed.
const MAX_LISTED: usize = 100;

/// What is imported, and where to.
#[derive(Debug)]
pub struct Import {
    /// The API.
    pub client: Client,
    /// The agent whose memory it becomes.
    pub agent: String,
    /// What all of it is put below; `/` is nothing.
    pub prefix: String,
    /// The file; `None` is standard input.
    pub file: Option<PathBuf>,
}

/// What was imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// Entries that were put, in all runs of the import.
    pub entries: u64,
    /// Entries that had expired, in this run.
    pub expired: u64,
    /// Entries that are larger than the server takes, in this run; they were named and left out.
    pub too_large: u64,
}

/// An import that is under way.
struct Running<'a> {
    import: &'a Import,
    to: Destination,
    source: Source,
    state: State,
    expired: u64,
    too_large: u64,
}

/// What is read, and where it is kept how far that is.
struct Source {
    name: String,
    file: File,
    state: Option<StateFile>,
}

impl Import {
    /// Puts all entries in order, from where an earlier run ended. Nothing is sent while a line is wrong.
    pub async fn run(&self) -> Result<Imported, ImportError> {
        AgentId::parse(&self.agent)?;
        let prefix = Prefix::parse(&self.prefix)?;
        let source = Source::open(self.file.as_deref())?;
        let new = State::new(self.client.url(), &self.agent, prefix.as_str());
        let (state, place) = source.begin(new)?;
        let to = Destination { agent: self.agent.clone(), prefix };
        let mut running = Running { import: self, to, source, state, expired: 0, too_large: 0 };
        running.check(place.clone())?;
        running.source.keep(&running.state)?;
        running.send(place).await?;
        running.source.end()?;
        let Running { state, expired, too_large, .. } = running;
        Ok(Imported { entries: state.puts, expired, too_large })
    }
}

impl Running<'_> {
    /// Looks at all lines before the first is sent.
    fn check(&self, from: Place) -> Result<(), ImportError> {
        let (mut lines, mut count) = (Vec::new(), 0);
        let read = Lines::from(&self.source.file, from).map_err(self.source.unread())?;
        let mut read = read.unhashed();
        while let Some(text) = read.next().map_err(self.source.unread())? {
            if let Err(why) = self.todo(&text, "") {
                count += 1;
                if lines.len() < MAX_LISTED {
                    lines.push(Wrong { line: read.place().line, why });
                }
            }
        }
        if count > 0 { Err(ImportError::Wrong { lines, count }) } else { Ok(()) }
    }

    async fn send(&mut self, from: Place) -> Result<(), ImportError> {
        let bytes = self.source.file.metadata().map_err(self.source.unread())?.len();
        let file = self.source.file.try_clone().map_err(self.source.unread())?;
        let mut read = Lines::from(&file, from).map_err(self.source.unread())?;
        let max_body = patiently(async || self.import.client.max_body().await).await;
        let max_body = max_body.map_err(|error| self.stopped(error))?;
        let mut progress = Progress::begin(self.state.puts);
        let mut batch = Batch::new(max_body);
        loop {
            let before = read.place().line;
            let Some(text) = read.next().map_err(self.source.unread())? else { break };
            let todo = self.todo(&text, &self.key(before, &text));
            let place = read.place().clone();
            match todo {
                // The file has changed since it was looked at.
                Err(why) => {
                    let lines = vec![Wrong { line: place.line, why }];
                    return Err(ImportError::Wrong { lines, count: 1 });
                }
                Ok(Todo::Expired) => self.expired += 1,
                Ok(Todo::TooLong) => self.leave_out(&place, &too_long()),
                Ok(Todo::Put { path, json, .. }) if json.len() + AROUND > max_body => {
                    self.leave_out(&place, &too_large(&path, json.len() + AROUND, max_body));
                }
                Ok(Todo::Put { json, is_of_now, .. }) => {
                    if !batch.has_room(json.len()) {
                        self.put(std::mem::replace(&mut batch, Batch::new(max_body))).await?;
                        let share = self.state.offset as f64 / bytes.max(1) as f64;
                        progress.show("imported", self.state.puts, Some(share));
                    }
                    batch.add(Operation { json, is_of_now, place });
                }
            }
        }
        self.put(batch).await
    }

    async fn put(&mut self, batch: Batch) -> Result<(), ImportError> {
        if batch.is_empty() {
            return Ok(());
        }
        let sent = batch.send(&self.import.client).await;
        let Sent { puts, place, refused } = match sent {
            Ok(sent) => sent,
            Err(error) => return Err(self.stopped(error)),
        };
        self.state.puts += puts;
        if let Some(place) = place {
            self.state.reach(&place);
            self.source.keep(&self.state)?;
        }
        match refused {
            None => Ok(()),
            Some(Refused { line, refusal }) => {
                Err(ImportError::Refused { line, refusal, done: self.done() })
            }
        }
    }

    /// What is to be done for a line, or what is wrong with it.
    fn todo(&self, line: &Text<'_>, key: &str) -> Result<Todo, String> {
        match line {
            Text::Whole(line) => self.to.todo(line, key, Timestamp::now()),
            Text::TooLong => Ok(Todo::TooLong),
        }
    }

    /// Goes on without the line before a place.
    fn leave_out(&mut self, place: &Place, why: &str) {
        self.too_large += 1;
        eprintln!("line {}: {why}", place.line);
    }

    /// The idempotency key of a line after so many: another one for each import, and for another line in its place.
    fn key(&self, before: u64, line: &Text<'_>) -> String {
        let Text::Whole(line) = line else { return String::new() };
        let hash = hex(&Sha256::digest(line)[..8]);
        format!("import-{}-{before}-{hash}", self.state.id.simple())
    }

    fn stopped(&self, error: ClientError) -> ImportError {
        ImportError::Stopped { error, done: self.done() }
    }

    fn done(&self) -> Done {
        let State { puts, line, .. } = self.state;
        Done { entries: puts, line, can_go_on: self.source.state.is_some() }
    }
}

impl Source {
    fn open(path: Option<&Path>) -> Result<Self, ImportError> {
        let Some(path) = path else {
            let name = "standard input".to_owned();
            let spooled =
                spooled().map_err(|error| ImportError::Read { file: name.clone(), error });
            return Ok(Self { file: spooled?, name, state: None });
        };
        let name = path.display().to_string();
        let unread = |error| ImportError::Read { file: name.clone(), error };
        let file = File::open(path).map_err(unread)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(ImportError::UnderWay(name)),
            // Where the file system has no locks, it is on those who import.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        Ok(Self { file, name, state: Some(StateFile::beside(path)) })
    }

    /// The state of the import that was begun, or of the `new` one where none has done anything, and the place after what is done.
    fn begin(&self, new: State) -> Result<(State, Place), ImportError> {
        let Some(kept) = &self.state else { return Ok((new, Place::default())) };
        let file = || kept.path().display().to_string();
        let failed = |error| ImportError::State { file: file(), error };
        let Some(begun) = kept.load().map_err(failed)? else {
            return Ok((new, Place::default()));
        };
        match begun.difference(&new) {
            Some(_) if begun.line == 0 => return Ok((new, Place::default())),
            Some(difference) => {
                return Err(ImportError::AnotherImport { file: file(), difference });
            }
            None => {}
        }
        let place = Place::find(&self.file, begun.line, begun.offset).map_err(self.unread())?;
        if place.digest() != begun.sha256 {
            return Err(ImportError::Changed { file: file(), line: begun.line });
        }
        if begun.line > 0 {
            eprintln!("resuming after line {} of {}", begun.line, self.name);
        }
        Ok((begun, place))
    }

    fn keep(&self, state: &State) -> Result<(), ImportError> {
        self.with_state(|file| file.save(state))
    }

    fn end(&self) -> Result<(), ImportError> {
        self.with_state(StateFile::remove)
    }

    fn with_state(
        &self,
        act: impl FnOnce(&StateFile) -> io::Result<()>,
    ) -> Result<(), ImportError> {
        let Some(kept) = &self.state else { return Ok(()) };
        let file = || kept.path().display().to_string();
        act(kept).map_err(|error| ImportError::State { file: file(), error })
    }

    fn unread(&self) -> impl Fn(io::Error) -> ImportError {
        let file = self.name.clone();
        move |error| ImportError::Read { file: file.clone(), error }
    }
}

/// Why an entry is left out whose put has so many bytes.
fn too_large(path: &str, bytes: usize, max_body: usize) -> String {
    let remedy = if bytes <= LARGEST_BODY {
        format!("set its MAX_BODY_BYTES to at least {bytes}, or make the value smaller")
    } else {
        format!("make the value smaller, since no server takes more than {LARGEST_BODY}")
    };
    format!(
        "{path:?} is left out: it has {bytes} bytes as a put, and the server takes {max_body}; {remedy}"
    )
}

fn too_long() -> String {
    format!(
        "an entry of more than {MAX_LINE} bytes is left out; make it smaller, since no server takes more than {LARGEST_BODY}"
    )
}

/// Standard input, in a file without a name: all of it is looked at before it is sent.
fn spooled() -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    io::copy(&mut io::stdin().lock(), &mut file)?;
    Ok(file)
}
