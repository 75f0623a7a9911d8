//! Whether output has colours: always, never, or at a terminal only.

/// What `--color` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colour {
    /// Only at a terminal, and never in what Supervisor prints as well: scripts run it at terminals of their own.
    #[default]
    Auto,
    Always,
    Never,
}

impl Colour {
    /// # Errors
    /// The words there are.
    pub fn parse(text: &str) -> Result<Colour, String> {
        match text {
            "auto" => Ok(Colour::Auto),
            "always" => Ok(Colour::Always),
            "never" => Ok(Colour::Never),
            _ => Err("it must be one of always, auto, never".to_string()),
        }
    }
}
