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
    config.delivery.retry_schedule_s = vec![1; 21];
    config.limits.requests_per_second = 0;
    config.bootstrap.admin_key = Some("short".into());
    let Err(ConfigError::Invalid(problems)) = config.validate() else { panic!("not valid") };
    let keys: Vec<_> = problems.iter().map(|problem| problem.key).collect();
    let expected = [
        "server.dev",
        "smtp.listen",
        "smtp.mail_domain",
        "delivery.timeout_ms",
        "delivery.retry_schedule_s",
        "limits.requests_per_second",
        "bootstrap.admin_key",
    ];
    assert_eq!(keys, expected);
    let text = ConfigError::Invalid(problems).to_string();
    assert!(text.contains("--dev-public") && !text.contains("short"), "{text}");
}

#[test]
fn the_environment_is_above_the_file_and_unknown_keys_are_errors() {
    figment::Jail::expect_with(|jail| {
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
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn the_first_start_makes_a_master_key_and_later_ones_insist_on_it() {
    let directory = tempfile::tempdir().unwrap();
    let (security, entropy) = (Security::default(), Entropy::seeded(1));
    let made = security.resolve(directory.path(), false, &entropy).unwrap();
    assert_eq!(security.resolve(directory.path(), true, &entropy).unwrap(), made);
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
