//! Reading the configuration again without taking it over: for those who want to look.

use crate::cli::DaemonArgs;
use crate::config::values::Reading;
use crate::config::{self, ConfigErrors, Setting, Surroundings};
use crate::model::config::GroupConfig;
use crate::rpc::api::Reread;
use std::sync::Arc;

/// What a masked value looks like.
pub const MASK: &str = "********";

/// How a daemon reads its configuration, and which groups are active.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigSource {
    pub args: DaemonArgs,
    pub surroundings: Surroundings,
    pub active: Vec<Arc<GroupConfig>>,
}

impl ConfigSource {
    /// What a reread would find changed. Nothing is taken over.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn preview(&self) -> Result<Reread, ConfigErrors> {
        let fresh = config::load(&self.args, &self.surroundings)?;
        Ok(config::diff(&self.active, &fresh.groups))
    }

    /// Every effective setting of the file as it is now, with nothing secret in it: neither passwords and variables
    /// named like one, nor what comes from such a variable of the daemon's own.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn settings_to_show(&self) -> Result<Vec<Setting>, ConfigErrors> {
        let mut surroundings = self.surroundings.clone();
        let mut secrets = Vec::new();
        for (name, value) in &mut surroundings.environment {
            if config::schema::names_a_secret(name) {
                secrets.push(std::mem::replace(value, MASK.to_string()));
            }
        }
        let settings = match config::settings(&self.args, &surroundings) {
            Ok(settings) => settings,
            // Something needs its true value to be understood at all, for example as a number.
            Err(_) => without(config::settings(&self.args, &self.surroundings)?, &secrets),
        };
        Ok(settings.into_iter().map(masked).collect())
    }
}

/// The settings with a mask wherever one of these texts stood in a value.
fn without(mut settings: Vec<Setting>, secrets: &[String]) -> Vec<Setting> {
    for setting in &mut settings {
        for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
            setting.value = setting.value.replace(secret.as_str(), MASK);
        }
    }
    settings
}

/// A setting without what nobody else should read. Of an environment only the secret values go.
fn masked(mut setting: Setting) -> Setting {
    if setting.key == "environment" {
        setting.value = masked_environment(&setting.value);
    } else if setting.secret || setting.key == "password" && !setting.value.is_empty() {
        setting.value = MASK.to_string();
    }
    setting
}

/// `KEY="value",OTHER="value"` with the values of secret keys masked; all of it if it cannot be read.
fn masked_environment(text: &str) -> String {
    let Ok(Reading { value: variables, .. }) = config::environment::parse(text) else {
        return MASK.to_string();
    };
    let shown = variables.iter().map(|(name, value)| {
        let value = if config::schema::names_a_secret(name) { MASK } else { value };
        format!("{name}=\"{value}\"")
    });
    shown.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_variables_are_masked_and_others_stay() {
        for (text, expected) in [
            ("A=\"1\",DB_PASSWORD=\"x,y\",B='2'", "A=\"1\",B=\"2\",DB_PASSWORD=\"********\""),
            ("api_token=1", "api_token=\"********\""),
            ("not an environment", MASK),
            ("", ""),
        ] {
            assert_eq!(masked_environment(text), expected, "{text}");
        }
    }
}
