//! Which API a command speaks to, and for which agent.

use agentfs_contract::setting::{AGENTFS_URL, API_KEY};
use secrecy::SecretString;

use crate::settings::setting;
use crate::transfer::Client;

/// What the help of such a command says of its environment.
pub(super) const SETTINGS: &str = "\
Settings (environment variables):
  AGENTFS_API_KEY  the API key (required)
  AGENTFS_URL      the URL of the API, unless --url is given";

/// Arguments of commands that speak to an API.
#[derive(Debug, clap::Args)]
pub(super) struct ApiArgs {
    /// The URL of the API. Defaults to AGENTFS_URL
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The agent whose memory it is
    #[arg(long, value_name = "NAME")]
    pub(super) agent: String,
}

impl ApiArgs {
    /// A client of that API, with the key of the environment.
    pub(super) fn client(&self) -> Result<Client, String> {
        let url = self
            .url
            .clone()
            .or_else(|| setting(AGENTFS_URL))
            .ok_or_else(|| format!("no API is named: give --url, or set {AGENTFS_URL}"))?;
        let key = setting(API_KEY).map(SecretString::from).ok_or_else(|| {
            format!("{API_KEY} is not set; it takes the API key, such as agfs_live_….…")
        })?;
        Client::new(&url, &key).map_err(|error| error.to_string())
    }
}
