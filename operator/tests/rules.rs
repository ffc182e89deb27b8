//! What the CEL rules of the resource definition refuse, and with which sentence.

use agentfs_contract::setting;
use kube_cel::Validator;
use serde_json::{Value, json};

use crate::crd::schema;

/// The sentences with which the CEL rules refuse `new` (in place of `old`, for a change).
pub(crate) fn refusals(new: &Value, old: Option<&Value>) -> Vec<String> {
    refusals_of("AgentFS", new, old)
}

fn refusals_of(kind: &str, new: &Value, old: Option<&Value>) -> Vec<String> {
    match Validator::new().validate(&schema(kind), new, old) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.as_slice().iter().map(|error| error.message.clone()).collect(),
    }
}

fn resource(name: &str, storage: &Value) -> Value {
    json!({"apiVersion": "agentfs.io/v1alpha1", "kind": "AgentFS", "metadata": {"name": name},
           "spec": {"database": {"embedded": {"storage": storage}}}})
}

#[test]
fn rules_pass_what_is_right() {
    let old = resource("memory", &json!({"size": "10Gi"}));
    assert_eq!(refusals(&old, None), Vec::<String>::new());
    let grown = resource("memory", &json!({"size": "20Gi"}));
    assert_eq!(refusals(&grown, Some(&old)), Vec::<String>::new());
    let longest = resource(&"a".repeat(40), &json!({}));
    assert_eq!(refusals(&longest, None), Vec::<String>::new());
}

/// Holds a refusal to its sentence.
#[track_caller]
fn refused(new: &Value, old: Option<&Value>, part: &str) {
    let refusals = refusals(new, old);
    assert!(
        refusals.len() == 1 && refusals[0].contains(part),
        "{new} was answered {refusals:?}, not {part:?}"
    );
}

#[track_caller]
fn taken(new: &Value) {
    assert_eq!(refusals(new, None), Vec::<String>::new(), "{new}");
}

/// A resource whose spec has one more field.
fn with(field: &str, value: Value) -> Value {
    let mut resource = resource("memory", &json!({}));
    resource["spec"][field] = value;
    resource
}

#[test]
fn names() {
    refused(&resource(&"a".repeat(41), &json!({})), None, "at most 40 characters");
    refused(&resource("1memory", &json!({})), None, "beginning with a letter");
    refused(&resource("my.memory", &json!({})), None, "lower-case letters, digits and '-' only");
    refused(&with("image", json!("bad image")), None, "not the name of an image");
}

#[test]
fn what_a_rehearsal_needs() {
    let upgrades = |upgrades: Value, backup: Value| {
        let mut resource = with("upgrades", upgrades);
        resource["spec"]["backup"] = backup;
        resource
    };
    let rehearse = || json!({"rehearse": true});
    taken(&upgrades(rehearse(), json!({})));
    let both = "set upgrades.backupBefore and backup.enabled to true, or rehearse to false";
    refused(&upgrades(rehearse(), json!({"enabled": false})), None, both);
    let without = json!({"rehearse": true, "backupBefore": false});
    refused(&upgrades(without, json!({})), None, both);
    taken(&upgrades(json!({"backupBefore": false}), json!({"enabled": false})));
    let encryption = |more: &Value| {
        let mut encryption = json!({"recipients": ["age1qqqq"]});
        encryption.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"encryption": encryption})
    };
    let identity = json!({"identitySecretRef": {"name": "age", "key": "identity"}});
    taken(&upgrades(rehearse(), encryption(&identity)));
    refused(
        &upgrades(rehearse(), encryption(&json!({}))),
        None,
        "rehearse must decrypt the backup",
    );
    taken(&upgrades(json!({}), encryption(&json!({}))));
}

#[test]
fn databases() {
    let database =
        |kinds: Value| json!({"metadata": {"name": "memory"}, "spec": {"database": kinds}});
    let external = json!({"secretRef": {"name": "memory-db"}});
    let exactly_one = "set exactly one of embedded, external";
    refused(&database(json!({})), None, exactly_one);
    refused(&database(json!({"embedded": {}, "external": external})), None, exactly_one);
    taken(&database(json!({"external": external})));
}

#[test]
fn storage() {
    let old = resource("memory", &json!({"size": "10Gi", "storageClassName": "fast"}));
    refused(&resource("memory", &json!({"size": "512Mi"})), None, "at least 1Gi");
    refused(&resource("memory", &json!({"size": "ten"})), None, "must be a size");
    refused(&resource("memory", &json!({"storageClassName": "No Class"})), None, "StorageClass");
    let smaller = resource("memory", &json!({"size": "5Gi", "storageClassName": "fast"}));
    refused(&smaller, Some(&old), "cannot shrink");
    for storage in [json!({"size": "10Gi", "storageClassName": "slow"}), json!({"size": "10Gi"})] {
        refused(&resource("memory", &storage), Some(&old), "storageClassName cannot be changed");
    }
}

#[test]
fn a_size_goes_back_to_what_the_volume_has_and_no_further() {
    // It was raised where the class cannot grow: the claim stayed as it was.
    let with = |database: &str, backup: &str, volumes: &Value| {
        json!({"metadata": {"name": "memory"}, "status": volumes, "spec": {
            "database": {"embedded": {"storage": {"size": database}}}, "backup": {"volume": {"size": backup}}}})
    };
    let real = json!({"database": {"volumeSize": "10Gi"}, "backup": {"volumeSize": "5Gi"}});
    let raised = with("20Gi", "8Gi", &real);
    for back in [with("10240Mi", "5Gi", &real), with("12Gi", "6Gi", &real), raised.clone()] {
        assert_eq!(refusals(&back, Some(&raised)), Vec::<String>::new(), "{back}");
    }
    let sentence =
        "raise spec.database.embedded.storage.size, or set it back to the volume's actual size";
    refused(&with("9Gi", "8Gi", &real), Some(&raised), sentence);
    refused(&with("20Gi", "4Gi", &real), Some(&raised), "raise spec.backup.volume.size");
    // What the volume has is not known.
    for volumes in [json!({}), json!({"database": {}, "backup": {}})] {
        refused(&with("10Gi", "8Gi", &volumes), Some(&raised), sentence);
    }
}

#[test]
fn amounts() {
    let cpu = |amount: Value| with("api", json!({"resources": {"requests": {"cpu": amount}}}));
    refused(&cpu(json!("lots")), None, "every value must be a quantity");
    refused(&cpu(json!(-1)), None, "every value must be a quantity");
    taken(&cpu(json!(2)));
    taken(&cpu(json!("0.5")));
}

#[test]
fn amounts_that_nobody_means() {
    let parts = |resources: Value| {
        let embedded = json!({"embedded": {"resources": resources}});
        let part = || json!({"resources": resources});
        [
            with("database", embedded),
            with("api", part()),
            with("migration", part()),
            with("worker", part()),
            with("pooler", part()),
            with("backup", part()),
        ]
    };
    for little in [json!("512m"), json!("512"), json!(512), json!("15Mi"), json!("512k")] {
        for part in parts(json!({"limits": {"memory": little}})) {
            refused(&part, None, "memory must be at least 16Mi");
        }
    }
    for fraction in ["512m", "512000u", "1n"] {
        for part in parts(json!({"requests": {"memory": fraction}})) {
            refused(&part, None, "memory must not be a fraction of bytes");
        }
    }
    for little in [json!(0), json!("0"), json!("0m"), json!("10Mi"), json!("134217728000m")] {
        for part in parts(json!({"requests": {"cpu": 0, "memory": little}})) {
            taken(&part);
        }
    }
    let resources = |request: Value, limit: Value| {
        json!({"requests": {"cpu": request, "memory": "1Gi"},
               "limits": {"cpu": limit, "memory": "1024Mi"}})
    };
    for part in parts(resources(json!(2), json!("1500m"))) {
        refused(&part, None, "requests must not be greater than limits");
    }
    for part in parts(resources(json!("1500m"), json!(1.5))) {
        taken(&part);
    }
}

#[test]
fn pod_settings() {
    let api = |field: &str, value: Value| with("api", json!({field: value}));
    taken(&api("podLabels", json!({"team": "memory", "app": "x"})));
    refused(
        &api("podLabels", json!({"app.kubernetes.io/name": "x"})),
        None,
        "labels that begin with app.kubernetes.io/",
    );
    taken(&api("podAnnotations", json!({"example.com/x": "y"})));
    refused(
        &api("podAnnotations", json!({"agentfs.io/database": "x"})),
        None,
        "annotations that begin with agentfs.io/",
    );
    let toleration = |toleration: Value| api("tolerations", json!([toleration]));
    taken(&toleration(json!({"operator": "Exists"})));
    taken(&toleration(json!({"key": "a", "value": "b"})));
    refused(&toleration(json!({"effect": "NoExecute"})), None, "name the taint's key");
    refused(
        &toleration(json!({"key": "a", "operator": "Exists", "value": "b"})),
        None,
        "operator Exists takes no value",
    );
}

#[test]
fn extra_environment() {
    let variable = |variable: Value| with("api", json!({"extraEnv": [variable]}));
    let secret = json!({"secretKeyRef": {"name": "a", "key": "b"}});
    let both = json!({"secretKeyRef": {"name": "a", "key": "b"},
                      "configMapKeyRef": {"name": "a", "key": "b"}});
    taken(&variable(json!({"name": "LOG_LEVEL", "value": "debug"})));
    taken(&variable(json!({"name": "LOG_LEVEL", "valueFrom": secret})));
    let of_operator = [
        setting::ADMIN_KEY,
        setting::DATABASE_URL,
        setting::LISTEN,
        setting::PORT,
        setting::PORT_OPERATIONS,
    ];
    for name in of_operator {
        let variable = json!({"extraEnv": [{"name": name, "value": "80"}]});
        for part in ["api", "worker"] {
            refused(
                &with(part, variable.clone()),
                None,
                "the operator sees to DATABASE_URL, LISTEN",
            );
        }
    }
    for name in ["WRITE_QUOTA_PER_DAY", "TRUST_PROXY", "LISTENER"] {
        taken(&variable(json!({"name": name, "value": "80"})));
    }
    refused(&variable(json!({"name": "A", "value": "x", "valueFrom": secret})), None, "not both");
    for source in [both, json!({})] {
        refused(&variable(json!({"name": "A", "valueFrom": source})), None, "set exactly one of");
    }
}

#[test]
fn autoscaling() {
    let api = |autoscaling: Value, resources: Value| {
        with("api", json!({"autoscaling": autoscaling, "resources": resources}))
    };
    let (bounds, cpu) = (json!({"minReplicas": 2, "maxReplicas": 4}), json!({"cpu": 1}));
    taken(&with("api", json!({"autoscaling": bounds})));
    taken(&api(bounds.clone(), json!({"requests": cpu})));
    taken(&api(bounds.clone(), json!({"limits": cpu})));
    let memory = json!({"requests": {"memory": "1Gi"}, "limits": {"memory": "1Gi"}});
    refused(&api(bounds, memory), None, "set resources.requests.cpu");
    refused(
        &with("api", json!({"autoscaling": {"minReplicas": 5, "maxReplicas": 4}})),
        None,
        "minReplicas must not be greater than maxReplicas",
    );
}

#[test]
fn embeddings() {
    let open_ai = |open_ai: Value| with("embeddings", json!({"openAI": open_ai}));
    let key = json!({"name": "provider"});
    let model = "text-embedding-3-small";
    taken(&with("embeddings", json!({})));
    taken(&open_ai(json!({"secretRef": key, "model": model})));
    taken(&open_ai(json!({"baseUrl": "http://ollama:11434/v1", "model": "x", "dimensions": 768})));
    taken(&with("embeddings", json!({"local": {}})));
    refused(
        &with("embeddings", json!({"local": {}, "openAI": {"secretRef": key, "model": model}})),
        None,
        "set openAI or local, not both",
    );
    refused(&open_ai(json!({"model": model})), None, "set secretRef for api.openai.com, or");
    refused(
        &open_ai(json!({"secretRef": key, "model": "nomic"})),
        None,
        "dimensions: must be set for a model that is not OpenAI's",
    );
    for url in ["ollama:11434", "https://u:p@host/v1", "https:///v1", "https://h/v1?key=x"] {
        refused(
            &open_ai(json!({"baseUrl": url, "model": model})),
            None,
            "must be the URL of an endpoint, without user or password",
        );
    }
}

#[test]
fn schedules() {
    let backup = |schedule: &str| with("backup", json!({"schedule": schedule}));
    for schedule in [
        "0 2 * * *",
        "*/15 0-6,22-23 1,15 * mon-FRI",
        "59 23 31 12 6",
        "0 0 ? jan-mar/2 *",
        "5  4 * * sun",
        "@daily",
    ] {
        taken(&backup(schedule));
    }
    let week =
        "the day of the week, its fifth field, must be from 0 to 6 or sun to sat; Sunday is 0";
    for (schedule, sentence) in [
        ("2 o'clock", "must have five fields, minute hour day-of-month month day-of-week"),
        ("60 2 * * *", "the minute, its first field, must be from 0 to 59"),
        ("0 24 * * *", "the hour, its second field, must be from 0 to 23"),
        ("0 2 0 * *", "the day of the month, its third field, must be from 1 to 31"),
        ("0 2 * 13 *", "the month, its fourth field, must be from 1 to 12 or jan to dec"),
        ("0 2 * * 7", week),
        ("0 2 * * MON-FOO", week),
        ("0 2 * *", "must have five fields"),
        ("0 2 * * * *", "must have five fields"),
        ("@every 5m", "must have five fields"),
        ("TZ=UTC 0 2 * * *", "the time zone does not belong in the schedule; set timeZone"),
        ("CRON_TZ=UTC 0 2 * * *", "the time zone does not belong in the schedule"),
        ("*/0 2 * * *", "the minute, its first field"),
    ] {
        refused(&backup(schedule), None, sentence);
    }
    for run in ["verify", "drill"] {
        let run = |schedule: &str| with("backup", json!({run: {"schedule": schedule}}));
        taken(&run("0 4 1 1,4,7,10 *"));
        refused(&run("0 4 * * 7"), None, week);
        refused(&run("weekly"), None, "must have five fields");
    }
    refused(&with("backup", json!({"volume": {"size": "1Mi"}})), None, "at least 1Gi");
}

#[test]
fn recovery() {
    let storage = |storage: Value| with("backup", json!({"verify": {"storage": storage}}));
    taken(&storage(json!({})));
    taken(&storage(json!({"size": "5Gi", "storageClassName": "fast"})));
    refused(&storage(json!({"size": "1Mi"})), None, "at least 1Gi");
    // It lives as long as a pod: another class is no trouble.
    let [old, new] = ["slow", "fast"].map(|class| storage(json!({"storageClassName": class})));
    assert_eq!(refusals(&new, Some(&old)), Vec::<String>::new());
    let encrypted = |encryption: Value| {
        let s3 = json!({"bucket": "backups", "serverSideEncryption": encryption});
        with("backup", json!({"destination": {"s3": s3}}))
    };
    taken(&encrypted(json!({"algorithm": "AES256"})));
    taken(&encrypted(json!({"algorithm": "aws:kms", "kmsKeyId": "memory"})));
    let key = encrypted(json!({"algorithm": "AES256", "kmsKeyId": "memory"}));
    refused(&key, None, "kmsKeyId is the key of aws:kms");
}

#[test]
fn proxies() {
    let proxies = |list: Value| with("api", json!({"trustProxy": list}));
    taken(&proxies(json!(["10.0.0.0/8", "fd00::/8"])));
    let sentence = "\"10.0.0.1\" is not a CIDR; example: 10.0.0.0/8";
    refused(&proxies(json!(["10.0.0.1"])), None, sentence);
}

#[test]
fn the_pool_and_the_embedded_database() {
    // The API server fills in the defaults before it evaluates rules.
    let with = |database: &Value, enabled: bool, replicas: i32, size: i32| {
        json!({"metadata": {"name": "memory"}, "spec": {"database": database,
            "pooler": {"enabled": enabled, "replicas": replicas, "poolSize": size}}})
    };
    let embedded = json!({"embedded": {}});
    let external = json!({"external": {"secretRef": {"name": "memory-db"}}});
    taken(&with(&embedded, true, 2, 60));
    taken(&with(&embedded, false, 2, 61));
    taken(&with(&external, true, 10, 1000));
    refused(&with(&embedded, true, 2, 61), None, "at most 180");
}

/// What a restore with this spec is refused with. Defaults are what the API server fills in before.
fn of_restore(spec: &Value) -> Vec<String> {
    let mut whole = json!({"agentFS": "memory", "security": "Live", "allowForeign": false});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    if let Some(Value::Object(source)) = whole.get_mut("source") {
        for field in ["latest", "latestVerified"] {
            source.entry(field).or_insert(json!(false));
        }
    }
    let restore = json!({"metadata": {"name": "back"}, "spec": whole});
    refusals_of("AgentFSRestore", &restore, None)
}

#[test]
fn restores_that_nobody_means() {
    let (in_place, look) = (json!({"inPlace": {}}), json!({"newDatabase": {"name": "look"}}));
    let latest = json!({"latest": true});
    for spec in [
        json!({"source": latest, "target": in_place, "security": "FromBackup", "allowForeign": true}),
        json!({"source": latest, "target": look, "allowForeign": true}),
        json!({"undo": "other", "target": in_place}),
        json!({"source": {"latest": true, "location": "/backups/a..b"}, "target": in_place}),
    ] {
        assert_eq!(of_restore(&spec), Vec::<String>::new(), "{spec}");
    }
    for (spec, part) in [
        (json!({"undo": "back"}), "must name another AgentFSRestore"),
        (
            json!({"undo": "other", "security": "FromBackup"}),
            "security applies to a restore in place",
        ),
        (
            json!({"source": latest, "target": look, "security": "FromBackup"}),
            "security applies to a restore in place",
        ),
        (json!({"undo": "other", "allowForeign": true}), "allowForeign applies to source"),
        (
            json!({"source": {"latest": true, "location": "/backups/../x"}, "target": in_place}),
            "without '..'",
        ),
    ] {
        let refusals = of_restore(&spec);
        assert!(refusals.len() == 1 && refusals[0].contains(part), "{spec}: {refusals:?}");
    }
}

#[test]
fn a_location_is_a_bucket_or_a_folder_of_the_volume() {
    let location = &schema("AgentFSRestore")["properties"]["spec"]["properties"]["source"]["properties"]
        ["location"];
    let rule = format!("self.location.matches('{}')", location["pattern"].as_str().unwrap());
    let schema = json!({"type": "object", "properties": {"location": {"type": "string"}},
                        "x-kubernetes-validations": [{"rule": rule, "message": "no"}]});
    let is_taken =
        |text: &str| Validator::new().validate(&schema, &json!({"location": text}), None).is_ok();
    for right in ["s3://bucket/prefix", "/backups", "/backups/old"] {
        assert!(is_taken(right), "{right}");
    }
    for wrong in ["/backups-x", "s3://", "/backups/a b", "/etc"] {
        assert!(!is_taken(wrong), "{wrong}");
    }
}
