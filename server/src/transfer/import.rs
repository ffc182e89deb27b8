//! Puts the entries of a file.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use agentfs_contract::manifest::hex;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::batch::{Batch, MAX_OPERATION, Operation, Refused, Sent};
use super::client::{Client, ClientError, Refusal};
use super::line::{Destination, Todo};
use super::lines::{Lines, Place, Text};
use super::progress::Progress;
use super::state::{State, StateFile};
use crate::domain::MAX_BODY;
use crate::domain::memory::agent_id::{AgentId, InvalidAgentId};
use crate::domain::memory::path::{InvalidPath, Prefix};

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
}

/// A line that is wrong.
#[derive(Debug)]
pub struct Wrong {
    line: u64,
    why: String,
}

/// Why a file is not imported, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The agent's name is invalid.
    #[error("--agent: {0}")]
    Agent(#[from] InvalidAgentId),
    /// The prefix is invalid.
    #[error("--prefix: {0}")]
    Prefix(#[from] InvalidPath),
    /// The file cannot be read.
    #[error("{file} cannot be read: {error}")]
    Read {
        /// The file.
        file: String,
        /// The error.
        #[source]
        error: io::Error,
    },
    /// It is being imported already.
    #[error("{0} is already being imported by another process; wait until that ends")]
    UnderWay(String),
    /// Its progress cannot be recorded.
    #[error(
        "{file}, which records the progress of the import, cannot be read or written: {error}; import a copy of the file from a folder that you can write to"
    )]
    State {
        /// The file.
        file: String,
        /// The error.
        #[source]
        error: io::Error,
    },
    /// The import that has begun is another one.
    #[error(
        "{file} belongs to an import with {difference}; finish that one, or remove the file to start over"
    )]
    AnotherImport {
        /// The file of its state.
        file: String,
        /// What differs.
        difference: String,
    },
    /// What was imported is not what the file has now.
    #[error(
        "the first {line} lines have changed since they were imported; restore them, or remove {file} to start over"
    )]
    Changed {
        /// The file of its state.
        file: String,
        /// How many were imported.
        line: u64,
    },
    /// Lines are wrong, so that nothing was sent.
    #[error(
        "nothing was imported in this run; fix or remove these lines, and run it again:{}",
        Listed(.lines, *.count)
    )]
    Wrong {
        /// The first of them.
        lines: Vec<Wrong>,
        /// How many there are.
        count: u64,
    },
    /// The server refuses a line.
    #[error("line {line}: {refusal}; {done}")]
    Refused {
        /// The line.
        line: u64,
        /// Why.
        refusal: Refusal,
        /// What was done before, and how to go on.
        done: Done,
    },
    /// The server cannot be asked, or refuses whatever comes.
    #[error("{error}; {done}")]
    Stopped {
        /// Why.
        #[source]
        error: ClientError,
        /// What was done before, and how to go on.
        done: Done,
    },
}

/// What an import that stopped has done.
#[derive(Debug)]
pub struct Done {
    entries: u64,
    line: u64,
    can_go_on: bool,
}

impl ImportError {
    /// Whether the same command may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::UnderWay(_) => true,
            Self::Refused { refusal, .. } => refusal.is_daily(),
            Self::Stopped { error, .. } => error.is_transient(),
            _ => false,
        }
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entries, line, can_go_on } = self;
        write!(f, "imported so far: {entries} entries, up to line {line}; ")?;
        f.write_str(if *can_go_on {
            "run the same command again to resume"
        } else {
            "an import of standard input cannot be resumed, one of a file can"
        })
    }
}

/// Lines that are wrong, one a line.
struct Listed<'a>(&'a [Wrong], u64);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(lines, count) = self;
        lines.iter().try_for_each(|Wrong { line, why }| write!(f, "\n  line {line}: {why}"))?;
        match count - lines.len() as u64 {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

/// An import that is under way.
struct Running<'a> {
    import: &'a Import,
    to: Destination,
    source: Source,
    state: State,
    expired: u64,
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
        let mut running = Running { import: self, to, source, state, expired: 0 };
        running.check(place.clone())?;
        running.source.keep(&running.state)?;
        running.send(place).await?;
        running.source.end()?;
        Ok(Imported { entries: running.state.puts, expired: running.expired })
    }
}

impl Running<'_> {
    /// Looks at all lines before the first is sent.
    fn check(&self, from: Place) -> Result<(), ImportError> {
        let (mut lines, mut count) = (Vec::new(), 0);
        let mut read = Lines::from(&self.source.file, from).map_err(self.source.unread())?;
        while let Some(todo) = self.next(&mut read)? {
            if let Err(why) = todo {
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
        let mut progress = Progress::begin(self.state.puts);
        let mut batch = Batch::default();
        while let Some(todo) = self.next(&mut read)? {
            let place = read.place().clone();
            match todo {
                // The file has changed since it was looked at.
                Err(why) => {
                    let lines = vec![Wrong { line: place.line, why }];
                    return Err(ImportError::Wrong { lines, count: 1 });
                }
                Ok(Todo::Expired) => self.expired += 1,
                Ok(Todo::Put { json, is_of_now }) => {
                    if !batch.has_room(json.len()) {
                        self.put(std::mem::take(&mut batch)).await?;
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
            Err(error) => return Err(ImportError::Stopped { error, done: self.done() }),
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

    /// What is to be done for the next line, or what is wrong with it.
    fn next(&self, lines: &mut Lines<'_>) -> Result<Option<Result<Todo, String>>, ImportError> {
        let before = lines.place().line;
        let text = lines.next().map_err(self.source.unread())?;
        let Some(text) = text else { return Ok(None) };
        let Text::Whole(line) = text else {
            return Ok(Some(Err(format!("it is longer than a request may be ({MAX_BODY} bytes)"))));
        };
        let key = self.key(before, line);
        let todo = self.to.todo(line, &key, Timestamp::now());
        let todo = todo.and_then(|todo| match &todo {
            Todo::Put { json, .. } if json.len() > MAX_OPERATION => {
                let bytes = json.len();
                Err(format!("it is too large: {bytes} bytes as a put, of at most {MAX_OPERATION}"))
            }
            _ => Ok(todo),
        });
        Ok(Some(todo))
    }

    /// The idempotency key of a line after so many: another one for each import, and for another line in its place.
    fn key(&self, before: u64, line: &[u8]) -> String {
        let hash = hex(&Sha256::digest(line)[..8]);
        format!("import-{}-{before}-{hash}", self.state.id.simple())
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

/// Standard input, in a file without a name: all of it is looked at before it is sent.
fn spooled() -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    io::copy(&mut io::stdin().lock(), &mut file)?;
    Ok(file)
}
