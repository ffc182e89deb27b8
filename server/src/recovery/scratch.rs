//! Where a backup is restored to be proven: a throwaway PostgreSQL of the same major version, or databases of their own on a server
//! that somebody names. It is never the production server by itself.

use std::path::Path;

use agentfs_postgres::instance::{Installation, Throwaway};

use super::ddl::Schema;
use super::error::RecoveryError;
use super::serve::Served;
use crate::settings::DatabaseUrl;
use crate::store::connection::address::DatabaseAddress;
use crate::store::scratch::{ScratchServer, prepare};

/// A server for databases that live for one run.
#[derive(Debug)]
pub(super) struct Scratch {
    server: Server,
    made: usize,
}

#[derive(Debug)]
enum Server {
    /// In a folder of this run.
    Throwaway(Box<Throwaway>),
    /// Somebody's.
    Named(Box<ScratchServer>),
}

impl Scratch {
    /// A server of version `major`: the one of `url` where it is given, else a throwaway one with its data in `folder`.
    pub(super) async fn start(
        major: u32,
        pg_bin: Option<&Path>,
        url: Option<&DatabaseUrl>,
        folder: &Path,
    ) -> Result<Self, RecoveryError> {
        let server = match url {
            None => {
                let installation =
                    Installation::find_major(pg_bin, major).map_err(RecoveryError::no_server)?;
                let started = Throwaway::start(&installation, folder, Vec::new());
                Server::Throwaway(Box::new(started.await.map_err(RecoveryError::no_server)?))
            }
            Some(url) => {
                let server = ScratchServer::connect(url).await?;
                let server = server.ok_or_else(|| RecoveryError::MayNotCreate(url.endpoint()))?;
                if server.major != major {
                    let found = server.major;
                    if let Err(error) = remove(server).await {
                        tracing::warn!("{error}");
                    }
                    return Err(RecoveryError::OtherMajor { found, wanted: major });
                }
                Server::Named(Box::new(server))
            }
        };
        Ok(Self { server, made: 0 })
    }

    /// An empty database with what a dump of that schema expects. Its role may do nothing outside of it.
    pub(super) async fn database(&mut self, schema: &Schema) -> Result<DatabaseUrl, RecoveryError> {
        self.made += 1;
        let (restoring, making) = match &mut self.server {
            Server::Throwaway(server) => {
                let name = format!("scratch_{}", self.made);
                server.create_database(&name).await.map_err(RecoveryError::no_server)?;
                let parse = |url| DatabaseUrl::parse(&url);
                (parse(server.owner_url(&name))?, parse(server.superuser_url(&name))?)
            }
            Server::Named(server) => server.create().await?,
        };
        let owner = restoring.hosts()[0].options().get_username().to_owned();
        let extension = schema.extension.as_deref().unwrap_or("public");
        let prepared = prepare(&making, &owner, &schema.name, extension).await;
        prepared.map_err(RecoveryError::NotPrepared)?;
        Ok(restoring)
    }

    /// Fails where the server is gone: then what was found on it says nothing.
    pub(super) async fn check(&mut self) -> Result<(), RecoveryError> {
        match &mut self.server {
            Server::Throwaway(server) => {
                let url = DatabaseUrl::parse(&server.superuser_url("postgres"))?;
                DatabaseAddress::of(&url).connect_unlimited().await?;
            }
            Server::Named(server) => server.check().await?,
        }
        Ok(())
    }

    /// Serves from one of its databases. Fails where the server is gone: an API would wait for it to come back.
    pub(super) async fn serve(&mut self, url: &DatabaseUrl) -> Result<Served, RecoveryError> {
        self.check().await?;
        Served::start(url).await
    }

    /// Ends it and removes all that it has made. It fails where something stays, until the next run removes it.
    pub(super) async fn end(self) -> Result<(), RecoveryError> {
        match self.server {
            Server::Throwaway(server) => {
                server.stop().await.map_err(|error| RecoveryError::ScratchStays(error.to_string()))
            }
            Server::Named(server) => remove(*server).await,
        }
    }
}

async fn remove(server: ScratchServer) -> Result<(), RecoveryError> {
    server.remove().await.map_err(|error| RecoveryError::ScratchStays(error.to_string()))
}
