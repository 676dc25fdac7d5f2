use super::*;
use crate::domain::entropy::Entropy;

#[test]
fn the_defaults_are_valid() {
    Config::default().validate().expect("valid");
}

#[test]
fn all_problems_are_reported_together() {
    let mut config = Config::default();
    config.server.dev = true;
    config.server.listen = ([0, 0, 0, 0], 8080).into();
    config.smtp.listen = "somewhere".into();
    config.smtp.mail_domain = "Mail".into();
    config.delivery.timeout_ms = 999;
    config.delivery.hold_days = 3_651;
    config.delivery.max_ahead_per_subscription = 10_001;
    config.delivery.retry_schedule_s = vec![1; 21];
    config.calls.max_concurrent = 10_001;
    config.calls.max_concurrent_per_organization_percent = 0;
    config.signup.relay_port = Some(0);
    config.limits.requests_per_second = 0;
    config.server.degraded_after_s = 0;
    config.storage.retention_days = 0;
    config.storage.max_queued = 0;
    config.storage.max_queued_gib = 0;
    config.storage.min_free_percent = 91;
    config.storage.min_free_mib = 1_000_000_001;
    config.bootstrap.admin_key = Some("short".into());
    let Err(ConfigError::Invalid(problems)) = config.validate() else { panic!("not valid") };
    let keys: Vec<_> = problems.iter().map(|problem| problem.key.clone()).collect();
    let expected = [
        "server.dev",
        "server.degraded_after_s",
        "smtp.listen",
        "smtp.mail_domain",
        "delivery.timeout_ms",
        "delivery.hold_days",
        "delivery.retry_schedule_s",
        "delivery.max_ahead_per_subscription",
        "calls.max_concurrent",
        "calls.max_concurrent_per_organization_percent",
        "signup.relay_port",
        "limits.requests_per_second",
        "storage.retention_days",
        "storage.max_queued",
        "storage.max_queued_gib",
        "storage.min_free_percent",
        "storage.min_free_mib",
        "bootstrap.admin_key",
    ];
    assert_eq!(keys, expected);
    let text = ConfigError::Invalid(problems).to_string();
    assert!(text.contains("--dev-public") && !text.contains("short"), "{text}");
}

#[test]
#[expect(clippy::result_large_err, reason = "the jail's own error")]
fn the_environment_is_above_the_file_and_unknown_keys_are_errors() {
    figment::Jail::expect_with(|jail| {
        jail.clear_env();
        jail.create_file("inkhook.toml", "[delivery]\ntimeout_ms = 5000\nmax_in_flight = 64\n")?;
        jail.set_env("INKHOOK_DELIVERY__TIMEOUT_MS", "7000");
        let config = load(None).map_err(|error| error.to_string())?;
        assert_eq!((config.delivery.timeout_ms, config.delivery.max_in_flight), (7000, 64));
        jail.set_env("INKHOOK_DELIVERY__TIMEOUT", "1");
        let error = load(None).expect_err("no such key").to_string();
        assert!(error.contains("timeout"), "{error}");
        Ok(())
    });
}

#[test]
fn secrets_do_not_print() {
    let mut config = Config::default();
    config.security.master_key = Some("hunter2".into());
    config.bootstrap.admin_key = Some("hunter2".into());
    config.signup.relay_password = Some("hunter2".into());
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn the_first_start_makes_a_master_key_and_later_ones_insist_on_it() {
    let directory = tempfile::tempdir().unwrap();
    let (security, entropy) = (Security::default(), Entropy::seeded(1));
    let master_key = security.resolve(directory.path(), false, &entropy).unwrap();
    assert_eq!(security.resolve(directory.path(), true, &entropy).unwrap(), master_key);
    let path = directory.path().join("master.key");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    std::fs::remove_file(&path).unwrap();
    let refused = security.resolve(directory.path(), true, &entropy).unwrap_err().to_string();
    assert!(refused.contains("put") && refused.contains("master.key"), "{refused}");
    let wrong = Security { master_key: Some("AAAA".into()), ..Security::default() };
    assert!(wrong.resolve(directory.path(), false, &entropy).is_err());
}

#[test]
fn a_private_file_appears_whole_is_not_replaced_and_leaves_nothing_beside_it() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("made").join("secret");
    security::write_private(&path, "first\n").expect("it is new");
    let refused = security::write_private(&path, "second\n").expect_err("it is there");
    assert_eq!(refused.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read_to_string(&path).expect("it reads"), "first\n");
    assert_eq!(path.metadata().expect("it is there").permissions().mode() & 0o777, 0o600);
    assert_eq!(path.parent().expect("a directory").read_dir().expect("it reads").count(), 1);
}

#[test]
#[expect(clippy::result_large_err, reason = "the jail's own error")]
fn every_value_that_cannot_be_read_is_named_and_the_others_count() {
    figment::Jail::expect_with(|jail| {
        jail.clear_env();
        jail.create_file(
            "inkhook.toml",
            "[delivery]\ntimeout_ms = \"soon\"\nmax_in_flight = 64\n[egres]\nallow_http = true\n",
        )?;
        jail.set_env("INKHOOK_SERVER__LISTEN", "here");
        jail.set_env("INKHOOK_SECURITY__MASTER_KEY", "31415926");
        let (config, problems) = read(None).map_err(|error| error.to_string())?;
        assert_eq!(config.delivery.max_in_flight, 64);
        assert_eq!(config.delivery.timeout_ms, Delivery::default().timeout_ms);
        let keys: Vec<_> = problems.iter().map(|problem| problem.key.as_ref()).collect();
        assert_eq!(keys, ["delivery.timeout_ms", "egres.allow_http", "security.master_key", "server.listen"]);
        let text = load(None).expect_err("not valid").to_string();
        assert!(text.contains("inkhook.toml") && text.contains("environment"), "{text}");
        assert!(!text.contains("31415926"), "{text}");
        jail.create_file("inkhook.toml", "[delivery")?;
        assert!(matches!(read(None), Err(ConfigError::Unreadable(_))));
        Ok(())
    });
}

#[test]
fn a_shown_configuration_reads_back_without_its_secrets() {
    let mut config = Config::default();
    config.delivery.retry_schedule_s = vec![1, 2];
    config.bootstrap.admin_key = Some("hunter2".into());
    config.security.master_key = Some("hunter2".into());
    config.database.replica_url = Some("hunter2".into());
    config.signup.relay_password = Some("hunter2".into());
    let shown = config.to_masked_toml().unwrap();
    assert!(!shown.contains("hunter2") && shown.matches(MASK).count() == 4, "{shown}");
    let back: Config = toml::from_str(&shown).unwrap();
    assert_eq!(back.delivery.retry_schedule_s, [1, 2]);
}

#[test]
fn a_master_key_that_is_none_is_a_problem_before_anything_starts() {
    let mut config = Config::default();
    config.security.master_key = Some("AAAA".into());
    let said = config.validate().unwrap_err().to_string();
    assert!(said.contains("security.master_key") && said.contains("32 bytes") && !said.contains("AAAA"));
    config.security = Security { master_key_file: Some("nowhere/key".into()), ..Security::default() };
    assert!(config.validate().unwrap_err().to_string().contains("nowhere/key"));
}

#[test]
fn a_replica_needs_a_server_and_a_bound_within_reason() {
    let mut config = Config::default();
    let keys = |config: &Config| -> Vec<_> {
        config.problems().into_iter().map(|problem| problem.key.into_owned()).collect()
    };
    assert_eq!(config.database.replica_max_lag_ms, 1_000);
    config.database.replica_url = Some("postgres://u:hunter2@r/d".into());
    assert_eq!(keys(&config), ["database.replica_url"]);
    let said = config.validate().unwrap_err().to_string();
    assert!(said.contains("database.url names none") && !said.contains("hunter2"), "{said}");
    config.database.url = Some("postgres://u@p/d".into());
    config.security.master_key = Some("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=".into());
    assert!(keys(&config).is_empty());
    for (lag_ms, is_good) in [(99, false), (100, true), (60_000, true), (60_001, false)] {
        config.database.replica_max_lag_ms = lag_ms;
        let expected: &[&str] = if is_good { &[] } else { &["database.replica_max_lag_ms"] };
        assert_eq!(keys(&config), expected, "{lag_ms}");
    }
    config.database.replica_max_lag_ms = 1_000;
    config.database.replica_url_file = Some("nowhere/replica".into());
    assert_eq!(keys(&config), ["database.replica_url"], "one or the other");
    config.database.replica_url = None;
    assert_eq!(keys(&config), ["database.replica_url_file"], "it cannot be read");
    config.database = Database { replica_url_file: Some("nowhere/replica".into()), ..Database::default() };
    assert_eq!(keys(&config).first().map(String::as_str), Some("database.replica_url_file"));
    assert!(!format!("{:?}", config.database).contains("hunter2"));
}
