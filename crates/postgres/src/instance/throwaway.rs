//! A server whose data goes with it: to prove a backup on.

use std::path::Path;

use secrecy::SecretString;

use super::installation::Installation;
use super::running::{Instance, InstanceOptions};
use super::setting::{Setting, THROWAWAY};
use super::temporary::Temporary;
use crate::error::PostgresError;
use crate::version::Version;

/// A running server on data that is thrown away. It listens on 127.0.0.1 alone, with passwords that are drawn for it.
///
/// [`Throwaway::stop`] ends it and removes all. Where the value is dropped, that is done at once and in the way of everything
/// else; where this process is killed, the server ends, and the next one in the same folder removes what is left.
#[derive(Debug)]
pub struct Throwaway {
    // In this order: the server is told to end before its data goes.
    instance: Instance,
    temporary: Temporary,
}

impl Throwaway {
    /// Starts one in a folder of its own in `parent`. `settings` come last, after those that make it fast and not durable.
    ///
    /// As root it fails, unless the program may change the user: the error says what to do.
    pub async fn start(
        installation: &Installation,
        parent: &Path,
        settings: Vec<Setting>,
    ) -> Result<Self, PostgresError> {
        let (temporary, folder) = Temporary::make(parent).await?;
        let fast = THROWAWAY.iter().map(|(name, value)| Setting::new(name, value));
        let options = InstanceOptions {
            settings: fast.chain(settings).collect(),
            throwaway: true,
            ..InstanceOptions::default()
        };
        let instance = Instance::start(installation, folder, options).await;
        let instance = instance.map_err(PostgresError::without_log)?;
        Ok(Self { instance, temporary })
    }

    /// Makes a database with the extension vector. Its owner is the role of [`Throwaway::owner_url`].
    pub async fn create_database(&self, name: &str) -> Result<(), PostgresError> {
        self.instance.create_database(name).await
    }

    /// The URL of a database for the owner, who is no superuser. It holds the password.
    pub fn owner_url(&self, database: &str) -> SecretString {
        self.instance.owner_url(database)
    }

    /// The URL of a database for the superuser. It holds the password.
    pub fn superuser_url(&self, database: &str) -> SecretString {
        self.instance.superuser_url_of(database)
    }

    /// The version that runs.
    pub fn version(&self) -> &Version {
        self.instance.version()
    }

    /// The server's process id.
    pub fn pid(&self) -> i32 {
        self.instance.pid()
    }

    /// Resolves when the server ends by itself: the sentence to say then.
    pub async fn ended(&mut self) -> PostgresError {
        self.instance.ended().await.without_log()
    }

    /// Ends the server and removes its data.
    pub async fn stop(self) -> Result<(), PostgresError> {
        let Self { instance, temporary } = self;
        drop(instance.stop().await);
        temporary.remove().await
    }
}
