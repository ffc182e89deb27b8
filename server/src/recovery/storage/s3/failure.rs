//! Why a bucket could not be used, in words that say what to do. No message holds a secret, or a URL with a query, which may be
//! signed.

use std::error::Error;
use std::io;

use hyper::StatusCode;

use super::Bucket;
use super::connection::{NoAnswer, NotEncrypted, Refusal, is_passing};
use super::credentials::NoKeys;
use crate::recovery::storage::StorageError;
use crate::runtime::innermost::innermost;

/// What is done with an object, and the right for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    List,
    Read,
    Write,
    Remove,
}

impl Act {
    fn words(self) -> &'static str {
        match self {
            Self::List => "list (s3:ListBucket)",
            Self::Read => "read (s3:GetObject)",
            Self::Write => "write (s3:PutObject, s3:AbortMultipartUpload)",
            Self::Remove => "remove (s3:DeleteObject)",
        }
    }
}

/// Why a bucket could not be used.
#[derive(Debug, thiserror::Error)]
#[error("{location}: {problem}")]
pub struct BucketError {
    /// The bucket with its prefix, or the object.
    pub location: String,
    /// What is wrong, and what to do.
    pub problem: Problem,
}

/// What is wrong with a bucket, or with the way to it.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// There are no credentials, or they cannot be read.
    #[error("there are no credentials: {0}")]
    NoCredentials(String),
    /// The credentials are not known, or have ended.
    #[error(
        "the credentials are refused ({0}): check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or where the keys come from; \
         a session may have ended"
    )]
    Credentials(String),
    /// The credentials may not do this.
    #[error("the credentials may not {may} there{said}; docs/S3.md has the rights that are needed")]
    Denied {
        /// What they may not.
        may: &'static str,
        /// The server's reason.
        said: String,
    },
    /// There is no such bucket.
    #[error("there is no bucket {bucket} at {endpoint}: make it, or correct the location")]
    NoBucket {
        /// The bucket.
        bucket: String,
        /// Where it was looked for.
        endpoint: String,
    },
    /// The bucket is elsewhere.
    #[error("the bucket is in another region{0}: set AWS_REGION to it")]
    Region(String),
    /// This machine's clock is wrong, or the server's.
    #[error("this machine's clock and that of {0} differ by too much: set them")]
    Clock(String),
    /// The server has too much to do.
    #[error(
        "the storage is overloaded and asks to slow down ({0}), also after several tries; try again later"
    )]
    Overloaded(String),
    /// The server failed.
    #[error(
        "the storage failed ({0}), also after several tries; try again later, or see its own log"
    )]
    Server(String),
    /// The server cannot be reached, or was lost on the way.
    #[error("{host} cannot be reached: {error}; check AWS_ENDPOINT_URL and the network")]
    Unreachable {
        /// The server.
        host: String,
        /// The reason.
        error: String,
    },
    /// The server's certificate is not trusted.
    #[error(
        "the certificate of {host} is not trusted: {error}; name the file of its authority in BACKUP_S3_CA_FILE"
    )]
    Untrusted {
        /// The server.
        host: String,
        /// The reason.
        error: String,
    },
    /// No space is left.
    #[error("no space is left there ({0})")]
    Full(String),
    /// The server keeps the object as it came, against what is set.
    #[error(
        "the storage does not encrypt, though AWS_SERVER_SIDE_ENCRYPTION asks it to; unset it, and encrypt backups with \
         BACKUP_RECIPIENTS"
    )]
    NotEncrypted,
    /// The object has too many parts.
    #[error("it is larger than 10,000 parts: set BACKUP_S3_PART_MIB to more than {0}")]
    TooManyParts(usize),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl Problem {
    /// Whether a retry may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Overloaded(_) | Self::Server(_) | Self::Unreachable { .. })
    }
}

/// Whether the store does not know writes with a condition.
pub(super) fn is_unsupported(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotImplemented { .. })
        || cause::<Refusal>(error).is_some_and(|refusal| {
            refusal.status == StatusCode::NOT_IMPLEMENTED || refusal.code == "NotImplemented"
        })
}

/// Whether a deletion is refused rather than failed: the store keeps the object, or the credentials may not delete.
pub(super) fn is_kept(error: &object_store::Error) -> bool {
    cause::<Refusal>(error).is_some_and(|refusal| {
        let message = refusal.message.to_ascii_lowercase();
        let locked = ["worm", "object lock", "retention", "legal hold"];
        refusal.code == "ObjectLocked"
            || refusal.code == "AccessDenied"
            || refusal.status.is_client_error() && locked.iter().any(|word| message.contains(word))
    })
}

impl Bucket {
    /// The failure of an act on the object `name`, or on the bucket where that is empty.
    pub(super) fn failed(&self, name: &str, act: Act, error: &object_store::Error) -> StorageError {
        if cause::<Refusal>(error).is_none()
            && matches!(error, object_store::Error::NotFound { .. })
        {
            return StorageError::Missing(self.shown(name));
        }
        self.error(name, self.problem(act, error))
    }

    pub(super) fn error(&self, name: &str, problem: Problem) -> StorageError {
        StorageError::Bucket(Box::new(BucketError { location: self.shown(name), problem }))
    }

    fn problem(&self, act: Act, error: &object_store::Error) -> Problem {
        if let Some(refusal) = cause::<Refusal>(error) {
            return self.refused(act, refusal);
        }
        if let Some(error) = cause::<NoKeys>(error) {
            return Problem::NoCredentials(error.to_string());
        }
        if cause::<NotEncrypted>(error).is_some() {
            return Problem::NotEncrypted;
        }
        let Some(lost) = cause::<NoAnswer>(error) else {
            return Problem::Other(innermost(error));
        };
        let host = lost.host.clone();
        match cause::<rustls::Error>(lost) {
            Some(error) => Problem::Untrusted { host, error: error.to_string() },
            None if !self.is_host(&host) => Problem::NoCredentials(format!(
                "{host}, which gives them on machines of AWS, cannot be reached; set AWS_ACCESS_KEY_ID and \
                 AWS_SECRET_ACCESS_KEY"
            )),
            None => Problem::Unreachable { host, error: innermost(lost) },
        }
    }

    fn refused(&self, act: Act, refusal: &Refusal) -> Problem {
        let Refusal { host, status, code, message, region } = refusal;
        let named = if code.is_empty() { status.to_string() } else { code.clone() };
        if !self.is_host(host) {
            return Problem::NoCredentials(format!(
                "{host}, which gives them, refuses: {named} {message}"
            ));
        }
        let overloaded = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS];
        match code.as_str() {
            "NoSuchBucket" => {
                let endpoint = self.endpoint.as_str().trim_end_matches('/').to_owned();
                Problem::NoBucket { bucket: self.name.clone(), endpoint }
            }
            "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "InvalidToken"
            | "ExpiredToken"
            | "TokenRefreshRequired"
            | "InvalidSecurity"
            | "XAdminUserNotFound" => Problem::Credentials(named),
            "RequestTimeTooSkewed" => Problem::Clock(host.clone()),
            "AuthorizationHeaderMalformed" if region.is_none() => {
                Problem::Other(format!("{named}: {message}"))
            }
            "PermanentRedirect"
            | "TemporaryRedirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException" => of_region(region.as_deref()),
            "QuotaExceeded" | "XMinioAdminBucketQuotaExceeded" | "XMinioStorageFull" => {
                Problem::Full(named)
            }
            _ if *status == StatusCode::INSUFFICIENT_STORAGE => Problem::Full(named),
            _ if status.is_redirection() => of_region(region.as_deref()),
            _ if *status == StatusCode::UNAUTHORIZED => Problem::Credentials(named),
            _ if *status == StatusCode::FORBIDDEN => {
                let said = if message.is_empty() { String::new() } else { format!(" ({message})") };
                Problem::Denied { may: act.words(), said }
            }
            _ if overloaded.contains(status) => Problem::Overloaded(format!("{status} {code}")),
            _ if is_passing(*status, code) => Problem::Server(format!("{status} {code}")),
            _ => Problem::Other(format!("{named}: {message}")),
        }
    }

    fn host(&self) -> &str {
        self.endpoint.host_str().unwrap_or_default()
    }

    /// Whether a host is that of the bucket, rather than one that gives credentials.
    fn is_host(&self, host: &str) -> bool {
        host == self.host()
            || host.strip_prefix(&self.name).is_some_and(|rest| rest.starts_with('.'))
    }
}

fn of_region(region: Option<&str>) -> Problem {
    Problem::Region(region.map(|region| format!(", {region}")).unwrap_or_default())
}

/// The first error of a kind among an error and its causes.
pub(super) fn cause<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // What an I/O error holds is none of its sources.
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = held.and_then(|held| cause(held)) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use object_store::client::{HttpError, HttpErrorKind};

    use super::*;
    use crate::recovery::storage::s3::BucketSettings;

    fn bucket() -> Bucket {
        let variables = [
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "s3cret"),
            ("AWS_ENDPOINT_URL", "https://s3.example"),
        ];
        let settings: BucketSettings = variables.into_iter().collect();
        Bucket::new("attic", "prod", settings.reach("attic").unwrap()).unwrap()
    }

    fn refusal(host: &str, status: u16, code: &str, region: Option<&str>) -> object_store::Error {
        let refusal = Refusal {
            host: host.into(),
            status: StatusCode::from_u16(status).unwrap(),
            code: code.into(),
            message: "Said so.".into(),
            region: region.map(str::to_owned),
        };
        let source = Box::new(HttpError::new(HttpErrorKind::Unknown, refusal));
        object_store::Error::Generic { store: "S3", source }
    }

    #[test]
    fn each_refusal_says_what_to_do() {
        let bucket = bucket();
        for (status, code, region, wanted, transient) in [
            (
                403,
                "InvalidAccessKeyId",
                None,
                "credentials are refused (InvalidAccessKeyId)",
                false,
            ),
            (400, "ExpiredToken", None, "a session may have ended", false),
            (
                403,
                "AccessDenied",
                None,
                "may not write (s3:PutObject, s3:AbortMultipartUpload) there (Said so.)",
                false,
            ),
            (
                404,
                "NoSuchBucket",
                None,
                "there is no bucket attic at https://s3.example: make it",
                false,
            ),
            (
                301,
                "PermanentRedirect",
                Some("eu-west-1"),
                "in another region, eu-west-1: set AWS_REGION",
                false,
            ),
            (307, "", None, "in another region: set AWS_REGION", false),
            (
                400,
                "AuthorizationHeaderMalformed",
                Some("eu-west-1"),
                "another region, eu-west-1",
                false,
            ),
            (403, "RequestTimeTooSkewed", None, "clock and that of s3.example differ", false),
            (503, "SlowDown", None, "asks to slow down (503 Service Unavailable SlowDown)", true),
            (429, "TooManyRequests", None, "asks to slow down", true),
            (
                500,
                "InternalError",
                None,
                "the storage failed (500 Internal Server Error InternalError)",
                true,
            ),
            (409, "OperationAborted", None, "try again later", true),
            (507, "", None, "no space is left there", false),
            (400, "XMinioStorageFull", None, "no space is left there", false),
            (400, "KMS.DisabledException", None, "KMS.DisabledException: Said so.", false),
        ] {
            let failed =
                bucket.failed("i/a.dump", Act::Write, &refusal("s3.example", status, code, region));
            let said = failed.to_string();
            assert!(
                said.starts_with("s3://attic/prod/i/a.dump: ") && said.contains(wanted),
                "{code}: {said}"
            );
            assert_eq!(failed.is_transient(), transient, "{code}");
            assert_eq!(failed.is_out_of_space(), wanted.contains("no space"), "{code}");
        }
        let said = bucket
            .failed("", Act::List, &refusal("sts.example", 403, "AccessDenied", None))
            .to_string();
        let wanted = "s3://attic/prod: there are no credentials: sts.example, which gives them, refuses: AccessDenied";
        assert!(said.starts_with(wanted), "{said}");
    }

    #[test]
    fn a_deletion_is_refused_or_fails() {
        let is_kept = |status, code| is_kept(&refusal("s3.example", status, code, None));
        assert!(is_kept(403, "AccessDenied") && is_kept(400, "ObjectLocked"));
        for (status, code) in [
            (403, "InvalidAccessKeyId"),
            (403, "RequestTimeTooSkewed"),
            (503, "SlowDown"),
            (400, "InvalidRequest"),
        ] {
            assert!(!is_kept(status, code), "{code}");
        }
    }
}
