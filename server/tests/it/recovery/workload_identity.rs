//! Credentials that a workload identity is exchanged for, as on EKS: by a fake of Amazon's security token service.

use std::collections::HashMap;
use std::fs;

use axum::Router;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::routing::post;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::support::s3_proxy::S3Proxy;
use crate::support::s3_server::{ACCESS_KEY, S3Server, SECRET_KEY};

const ROLE: &str = "arn:aws:iam::000000000000:role/backups";
const TOKEN: &str = "a-token-of-the-service-account";

/// Starts the service, which knows one token; returns its port.
async fn token_service() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let routes = Router::new().route("/", post(assume_role));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    port
}

async fn assume_role(Query(asked): Query<HashMap<String, String>>) -> (StatusCode, String) {
    let wanted =
        [("Action", "AssumeRoleWithWebIdentity"), ("RoleArn", ROLE), ("WebIdentityToken", TOKEN)];
    if wanted.iter().all(|(name, value)| asked.get(*name).is_some_and(|given| given == value)) {
        let credentials = format!(
            "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>
               <AccessKeyId>{ACCESS_KEY}</AccessKeyId><SecretAccessKey>{SECRET_KEY}</SecretAccessKey>
               <SessionToken>a-session</SessionToken><Expiration>2099-01-02T03:04:05Z</Expiration>
             </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        );
        (StatusCode::OK, credentials)
    } else {
        let refusal = "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidIdentityToken</Code>
             <Message>Nobody knows the token.</Message></Error></ErrorResponse>";
        (StatusCode::BAD_REQUEST, refusal.to_owned())
    }
}

#[tokio::test]
async fn a_workload_identity_is_exchanged_for_credentials() {
    let (service, certificate) = S3Proxy::of_tls(token_service().await).await;
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (token, authority) = (path("token"), path("ca.pem"));
    fs::write(&authority, certificate).unwrap();
    fs::write(&token, TOKEN).unwrap();
    let bucket = S3Server::versitygw().bucket().await;
    let endpoint = service.tls_endpoint();
    let settings = [
        ("AWS_ACCESS_KEY_ID", ""),
        ("AWS_SECRET_ACCESS_KEY", ""),
        ("AWS_ROLE_ARN", ROLE),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.as_str()),
        ("AWS_ENDPOINT_URL_STS", endpoint.as_str()),
        ("BACKUP_S3_CA_FILE", authority.as_str()),
    ];
    let storage = bucket.storage(&settings).await.unwrap();
    storage.write_small("i/a.json", b"{}").await.unwrap();
    assert_eq!(storage.read_small("i/a.json").await.unwrap().unwrap(), b"{}");

    fs::write(&token, "a-token-of-nobody").unwrap();
    let refused = bucket.storage(&settings).await.map(drop).unwrap_err();
    let said = refused.to_string();
    let why = "localhost, which gives them, refuses: InvalidIdentityToken Nobody knows the token.";
    assert!(said.contains("there are no credentials: ") && said.contains(why), "{said}");
    assert!(!refused.is_transient() && !said.contains("a-token-of"), "{said}");
}
