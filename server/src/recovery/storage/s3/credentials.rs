//! Credentials in files: a Secret that is mounted, or a profile of the tools of AWS. They are read for each request, so that
//! they may be renewed while an upload is under way.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;

/// Where credentials are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Credentials {
    /// A folder with a file for each of the variables.
    Folder(PathBuf),
    /// A profile of a shared credentials file.
    Shared {
        /// The file.
        file: PathBuf,
        /// The profile's name.
        profile: String,
    },
}

/// Why files give no credentials.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoKeys {
    #[error("{}: {error}", path.display())]
    File {
        path: PathBuf,
        #[source]
        error: std::io::Error,
    },
    #[error(
        "{} has no profile {profile} with aws_access_key_id and aws_secret_access_key; keys by sso, credential_process or \
         role_arn are not supported",
        file.display()
    )]
    Profile { file: PathBuf, profile: String },
    #[error("{} holds what is no key", .0.display())]
    Malformed(PathBuf),
}

#[async_trait]
impl CredentialProvider for Credentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let read = self.read().await.map(Arc::new);
        read.map_err(|error| object_store::Error::Generic { store: "S3", source: Box::new(error) })
    }
}

impl Credentials {
    async fn read(&self) -> Result<AwsCredential, NoKeys> {
        let (keys, path) = match self {
            Self::Folder(folder) => {
                let whole = async |name| text(&folder.join(name)).await;
                let token = match whole("AWS_SESSION_TOKEN").await {
                    Err(NoKeys::File { error, .. })
                        if error.kind() == std::io::ErrorKind::NotFound =>
                    {
                        None
                    }
                    token => Some(token?),
                };
                let (key_id, secret_key) =
                    (whole("AWS_ACCESS_KEY_ID").await?, whole("AWS_SECRET_ACCESS_KEY").await?);
                (AwsCredential { key_id, secret_key, token }, folder)
            }
            Self::Shared { file, profile } => {
                let keys = of_profile(&text(file).await?, profile);
                let missing = || NoKeys::Profile { file: file.clone(), profile: profile.clone() };
                (keys.ok_or_else(missing)?, file)
            }
        };
        // Other characters cannot be sent.
        let sound = |key: &String| key.chars().all(|c| c.is_ascii_graphic());
        let parts = [Some(&keys.key_id), Some(&keys.secret_key), keys.token.as_ref()];
        if parts.into_iter().flatten().all(sound) {
            Ok(keys)
        } else {
            Err(NoKeys::Malformed(path.clone()))
        }
    }
}

async fn text(path: &Path) -> Result<String, NoKeys> {
    let read = tokio::fs::read_to_string(path).await;
    let read = read.map_err(|error| NoKeys::File { path: path.to_owned(), error })?;
    Ok(read.trim().to_owned())
}

/// The keys of a profile: `[name]`, and below it lines such as `aws_access_key_id = AKIA...`.
fn of_profile(content: &str, profile: &str) -> Option<AwsCredential> {
    let (mut key_id, mut secret_key, mut token) = (None, None, None);
    let mut within = false;
    for line in content.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            within = name.split(']').next().is_some_and(|name| name.trim() == profile);
        } else if let Some((name, value)) = line.split_once('=').filter(|_| within) {
            let value = Some(value.trim().to_owned());
            match name.trim() {
                "aws_access_key_id" => key_id = value,
                "aws_secret_access_key" => secret_key = value,
                "aws_session_token" => token = value,
                _ => {}
            }
        }
    }
    Some(AwsCredential { key_id: key_id?, secret_key: secret_key?, token })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keys_are_read_from_a_mounted_secret_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, value: &str| std::fs::write(folder.path().join(name), value).unwrap();
        let credentials = Credentials::Folder(folder.path().to_owned());
        let said = credentials.read().await.unwrap_err().to_string();
        assert!(said.contains("AWS_ACCESS_KEY_ID"), "{said}");
        write("AWS_ACCESS_KEY_ID", "id\n");
        write("AWS_SECRET_ACCESS_KEY", "one\n");
        let (key_id, token) = ("id".to_owned(), None);
        let one = AwsCredential { key_id: key_id.clone(), secret_key: "one".into(), token };
        assert!(credentials.read().await.unwrap() == one);
        write("AWS_SECRET_ACCESS_KEY", "two");
        write("AWS_SESSION_TOKEN", "t");
        let two = AwsCredential { key_id, secret_key: "two".into(), token: Some("t".into()) };
        assert!(credentials.read().await.unwrap() == two);
        write("AWS_SESSION_TOKEN", "a b\nc");
        assert!(credentials.read().await.unwrap_err().to_string().contains("no key"));
    }

    #[test]
    fn a_profile_is_found_among_others() {
        let file = "# mine\n[default]\naws_access_key_id=a\naws_secret_access_key = b=/+\n\n[ attic ]\n\
                    ; theirs\naws_access_key_id = c\naws_secret_access_key = d\naws_session_token = e\n[bare]\n\
                    sso_session = x\n[half]\naws_access_key_id = f\n";
        let keys = |profile| {
            of_profile(file, profile).map(|k| [Some(k.key_id), Some(k.secret_key), k.token])
        };
        let some = |key: &str| Some(key.to_owned());
        assert_eq!(keys("default"), Some([some("a"), some("b=/+"), None]));
        assert_eq!(keys("attic"), Some([some("c"), some("d"), some("e")]));
        for lacking in ["bare", "half", "none"] {
            assert_eq!(keys(lacking), None, "{lacking}");
        }
    }
}
