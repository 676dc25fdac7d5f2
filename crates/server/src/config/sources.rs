//! Where values come from: defaults, file, environment.
//!
//! A value of the wrong type, or under a name that no section knows, does not hide the next one: values are
//! then tried one by one, so that all of them are named. A secret is not repeated in what is said about it.

use std::path::Path;

use figment::providers::{Env, Format, Serialized, Toml};
use figment::value::{Dict, Value};
use figment::{Error, Figment};

use super::{Config, Problem};

/// What environment variables begin with.
const ENV_PREFIX: &str = "INKHOOK_";
/// The file that is read when there is one.
const DEFAULT_FILE: &str = "inkhook.toml";
/// Keys whose values are not repeated.
const SECRETS: [&str; 5] = [
    "database.url",
    "database.replica_url",
    "signup.relay_password",
    "security.master_key",
    "bootstrap.admin_key",
];

/// Reads what can be read, and says what cannot.
pub(super) fn read(file: Option<&Path>) -> Result<(Config, Vec<Problem>), Box<Error>> {
    let toml = match file {
        Some(file) => Toml::file_exact(file),
        None => Toml::file(DEFAULT_FILE),
    };
    let given = Figment::from(toml).merge(Env::prefixed(ENV_PREFIX).split("__"));
    let defaults = Figment::from(Serialized::defaults(Config::default()));
    let all = defaults.clone().merge(given.clone());
    match all.extract() {
        Ok(config) => Ok((config, Vec::new())),
        Err(_) => one_by_one(defaults, &given),
    }
}

fn one_by_one(defaults: Figment, given: &Figment) -> Result<(Config, Vec<Problem>), Box<Error>> {
    let (mut good, mut problems) = (defaults, Vec::new());
    for (key, value) in leaves(given.extract().map_err(Box::new)?) {
        let more = good.clone().merge(Serialized::default(&key, &value));
        match more.extract::<Config>() {
            Ok(_) => good = more,
            Err(error) => problems.push(problem(key, &error, given)),
        }
    }
    Ok((good.extract().map_err(Box::new)?, problems))
}

/// The values of each section, as `section.key`. What should be a section and is none stands for itself.
fn leaves(sections: Dict) -> Vec<(String, Value)> {
    let leaf = |(section, value)| match value {
        Value::Dict(_, keys) => {
            keys.into_iter().map(|(key, value)| (format!("{section}.{key}"), value)).collect()
        }
        value => vec![(section, value)],
    };
    sections.into_iter().flat_map(leaf).collect()
}

fn problem(key: String, error: &Error, given: &Figment) -> Problem {
    let what = if SECRETS.contains(&key.as_str()) {
        "is not text; put it in quotes".to_owned()
    } else {
        error.kind.to_string()
    };
    let origin = given.find_metadata(&key);
    let origin = origin.map(|origin| match &origin.source {
        Some(source) => format!(" (in {source})"),
        None => format!(" (in {})", origin.name),
    });
    Problem { key: key.into(), what: what + &origin.unwrap_or_default() }
}
