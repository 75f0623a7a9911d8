//! Reads the configuration again without applying it, for clients that want to look at it.

use crate::config::Reread;
use crate::config::args::DaemonArgs;
use crate::config::dump::{all_settings, as_file};
use crate::config::load::interpret;
use crate::config::update::{self, UpdatePlan};
use crate::config::values::Reading;
use crate::config::{self, ConfigErrors, Document, Origin, Setting, Surroundings};
use crate::model::config::GroupConfig;
use crate::model::state_file::Overrides;
use std::sync::Arc;

/// What a masked value looks like.
pub(super) const MASK: &str = "********";

/// How a daemon reads its configuration, and which groups are active.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigSource {
    /// The command line that the daemon was started with.
    pub args: DaemonArgs,
    /// What the daemon found around it. `%(ENV_X)s` means its environment.
    pub surroundings: Surroundings,
    /// The groups with which a preview compares.
    pub active: Vec<Arc<GroupConfig>>,
    /// What people have changed besides.
    pub overrides: Overrides,
}

impl ConfigSource {
    /// What a reread would find changed, and what an update would do. Nothing is taken over.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn preview(&self) -> Result<(Reread, UpdatePlan), ConfigErrors> {
        let fresh = config::load_with(&self.args, &self.surroundings, &self.overrides)?;
        let fresh = config::keep(&self.active, fresh);
        let plan = update::plan(&self.active, &fresh.groups, |_| true);
        Ok((config::diff(&self.active, &fresh.groups), plan))
    }

    /// Every effective setting of the file as it is now, with nothing secret in it: neither passwords and variables
    /// named like one, nor what comes from such a variable of the daemon's own.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn settings_to_show(&self) -> Result<Vec<Setting>, ConfigErrors> {
        let (surroundings, secrets) = without_secrets(&self.surroundings);
        let settings = match config::settings(&self.args, &surroundings) {
            Ok(settings) => settings,
            // Something needs its true value to be understood at all, for example as a number.
            Err(_) => without(config::settings(&self.args, &self.surroundings)?, &secrets),
        };
        Ok(settings.into_iter().map(|setting| masked(self.overridden(setting))).collect())
    }

    /// A setting as it is after what people have changed. What was said of single processes does not show here.
    fn overridden(&self, setting: Setting) -> Setting {
        const PREFIXES: [&str; 3] = ["program:", "fcgi-program:", "eventlistener:"];
        let program = PREFIXES.iter().find_map(|prefix| setting.section.strip_prefix(prefix));
        let Some(program) = program.map(str::trim) else { return setting };
        let (value, origin) = match &*setting.key {
            "numprocs" => match self.overrides.numprocs.get(program) {
                Some(number) => (number.to_string(), Origin::Changed("scaled")),
                None => return setting,
            },
            "autostart" => match self.overrides.autostart.get(program) {
                Some(true) => ("true".to_string(), Origin::Changed("enabled")),
                Some(false) => ("false".to_string(), Origin::Changed("disabled")),
                None => return setting,
            },
            _ => return setting,
        };
        Setting { value, origin, ..setting }
    }
}

/// The effective configuration as a text, with nothing secret in it; see `supervisord check --dump`. It must have been read
/// without errors.
pub(crate) fn dump_to_show(document: &Document, args: &DaemonArgs, surroundings: &Surroundings) -> String {
    let (harmless, secrets) = without_secrets(surroundings);
    let reads = interpret(document, Vec::new(), args, &harmless).config.is_some();
    let (around, secrets) = if reads { (&harmless, &[][..]) } else { (surroundings, &secrets[..]) };
    let sections = all_settings(document, args, around).into_iter();
    let shown = sections
        .map(|(section, settings)| (section, without(settings, secrets).into_iter().map(masked).collect()));
    as_file(shown.collect())
}

/// The surroundings with masks for the values of secret variables, and those values.
fn without_secrets(surroundings: &Surroundings) -> (Surroundings, Vec<String>) {
    let mut surroundings = surroundings.clone();
    let mut secrets = Vec::new();
    for (name, value) in &mut surroundings.environment {
        if config::secrets::names_a_secret(name) {
            secrets.push(std::mem::replace(value, MASK.to_string()));
        }
    }
    (surroundings, secrets)
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
        // What holds nothing secret stays as it was written.
        if setting.secret || config::environment::parse(&setting.value).is_err() {
            setting.value = masked_environment(&setting.value);
        }
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
        let value = if config::secrets::names_a_secret(name) { MASK } else { value };
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
