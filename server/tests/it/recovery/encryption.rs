//! Backups that are encrypted with age.

use std::fs;
use std::io::Read as _;

use age::secrecy::ExposeSecret as _;
use age::x25519::Identity;
use agentfs_contract::manifest::hex;
use sha2::{Digest as _, Sha256};

use crate::support::backups::Backups;
use crate::support::database::Database;
use crate::support::shell::Shell;

fn decrypted(file: &[u8], identity: &Identity) -> Result<Vec<u8>, String> {
    let decryptor = age::Decryptor::new(file).map_err(|error| error.to_string())?;
    let keys = std::iter::once(identity as &dyn age::Identity);
    let mut plain = Vec::new();
    let mut reader = decryptor.decrypt(keys).map_err(|error| error.to_string())?;
    reader.read_to_end(&mut plain).map_err(|error| error.to_string())?;
    Ok(plain)
}

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

#[tokio::test]
async fn whoever_has_an_identity_reads_the_backup_and_nobody_else() {
    let (database, backups) = (Database::migrated().await, Backups::new());
    // More than one piece.
    let filled = "INSERT INTO entry_versions
        SELECT '00000000-0000-0000-0000-000000000000', gen_random_uuid(), 'ada', '/' || n, 1, to_json(v),
               '{}', 0, false, now()
          FROM generate_series(1, 5000) n,
               LATERAL (SELECT string_agg(md5(n || '/' || i), '') AS v FROM generate_series(1, 20) i) texts";
    database.execute(filled).await;
    let [ours, theirs, stranger] = [(); 3].map(|()| Identity::generate());
    let [a, b] = [&ours, &theirs].map(|identity| identity.to_public().to_string());
    backups.make(&database, &["--encrypt-to", &a, "--encrypt-to", &b]);

    let manifest = backups.manifest();
    let file = &backups.files(".dump.age")[0];
    assert!(file.ends_with(&manifest.file) && backups.files(".dump").is_empty(), "{manifest:?}");
    let stored = fs::read(file).unwrap();
    assert_eq!((manifest.bytes, &manifest.sha256), (stored.len() as u64, &sha256(&stored)));
    let encryption = manifest.encryption.as_ref().unwrap();
    assert_eq!(encryption.scheme, "age");
    for identity in [&ours, &theirs] {
        let plain = decrypted(&stored, identity).unwrap();
        assert!(plain.starts_with(b"PGDMP") && plain.len() > 1 << 20, "{} bytes", plain.len());
        assert_eq!(encryption.plain_bytes, plain.len() as u64);
        assert_eq!(encryption.plain_sha256, sha256(&plain));
    }
    assert!(decrypted(&stored, &stranger).is_err());

    fs::write(backups.path().join("plain"), decrypted(&stored, &ours).unwrap()).unwrap();
    let new = Database::empty().await;
    let restore = r#"pg_restore --no-comments --exit-on-error -d "$PGDATABASE" plain"#;
    Shell::of_owner(&new, backups.path()).line(restore).await;
    assert_eq!(new.number("SELECT count(*) FROM entry_versions").await, 5000);
}

#[tokio::test]
async fn recipients_are_a_setting_as_well() {
    let (database, backups) = (Database::migrated().await, Backups::new());
    let [set, given] = [(); 2].map(|()| Identity::generate());
    let recipient = set.to_public().to_string();
    let variables = [("DATABASE_URL", &*database.url), ("BACKUP_RECIPIENTS", &*recipient)];
    backups.run_with(&variables, &["--scope", "entries"]).text();
    let stored = fs::read(&backups.files(".dump.age")[0]).unwrap();
    assert!(decrypted(&stored, &set).is_ok());
    // What is given stands in its place.
    let other = Backups::new();
    other.run_with(&variables, &["--encrypt-to", &given.to_public().to_string()]).text();
    let stored = fs::read(&other.files(".dump.age")[0]).unwrap();
    assert!(decrypted(&stored, &given).is_ok() && decrypted(&stored, &set).is_err());
}

#[tokio::test]
async fn a_wrong_recipient_makes_no_backup_and_no_secret_is_shown() {
    let (database, backups) = (Database::migrated().await, Backups::new());
    let identity = Identity::generate();
    let (secret, recipient) = (identity.to_string(), identity.to_public().to_string());
    let secret = secret.expose_secret();
    for (given, why) in [
        (secret, "recipient 1 is a secret key"),
        ("ssh-ed25519", "recipient 1 is none (invalid Bech32 encoding)"),
        (&recipient[..40], "recipient 1 is none"),
    ] {
        let variables = [("DATABASE_URL", &*database.url), ("BACKUP_RECIPIENTS", given)];
        for said in [
            backups.run(&database, &["--encrypt-to", given]).failure(),
            backups.run_with(&variables, &[]).failure(),
        ] {
            assert!(said.contains(why), "{said}");
            assert!(!said.to_uppercase().contains(&secret[20..]), "{said}");
        }
    }
    assert_eq!(backups.names(), [""; 0]);
}
