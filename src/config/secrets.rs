//! Which settings hold something that nobody else should read.

use crate::config::environment;

/// Words in the names of variables whose values nobody else should read.
const SECRET_WORDS: [&str; 5] = ["PASSWORD", "PASSWD", "SECRET", "TOKEN", "API_KEY"];

/// Last words of names that say something about a secret: where it lies, how long it is good.
const ABOUT_SECRETS: [&str; 26] = [
    "FILE",
    "FILES",
    "PATH",
    "DIR",
    "URL",
    "URI",
    "ENDPOINT",
    "HOST",
    "PORT",
    "TTL",
    "TIMEOUT",
    "LIFETIME",
    "EXPIRY",
    "EXPIRES",
    "EXPIRATION",
    "AGE",
    "LENGTH",
    "SIZE",
    "LIMIT",
    "COUNT",
    "ENABLED",
    "REQUIRED",
    "POLICY",
    "ALGORITHM",
    "HEADER",
    "TYPE",
];

/// Whether a variable of this name is likely to hold something that nobody else should read.
pub(crate) fn names_a_secret(name: &str) -> bool {
    let name = name.to_uppercase();
    let last = name.rsplit('_').next().unwrap_or_default();
    SECRET_WORDS.iter().any(|word| name.contains(word)) && !ABOUT_SECRETS.contains(&last)
}

/// Whether a value should not be shown to everybody: a password, or an environment with one in it. What stands in
/// the environment of the daemon is not in the file.
pub(crate) fn is_secret(key: &str, value: &str) -> bool {
    match key {
        "password" => !value.is_empty() && !value.contains("%(ENV_"),
        "environment" => match environment::parse(value) {
            Ok(variables) => variables.value.iter().any(|(name, value)| is_secret_pair(name, value)),
            Err(_) => value.split(',').any(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or_default();
                is_secret_pair(name.trim(), value.trim().trim_matches(['"', '\'']))
            }),
        },
        _ => false,
    }
}

fn is_secret_pair(name: &str, value: &str) -> bool {
    names_a_secret(name) && !value.is_empty() && !value.contains("%(ENV_")
}
