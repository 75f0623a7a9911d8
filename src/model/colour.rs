//! Whether output has colours: always, never, or at a terminal only.

/// When the client's output has colours: the value of `--color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colour {
    /// Only at a terminal, and never in what Supervisor prints as well: scripts run it at terminals of their own.
    #[default]
    Auto,
    /// In everything the client prints, files and pipes included.
    Always,
    /// In nothing.
    Never,
}

impl Colour {
    /// Reads a value of `--color`: `auto`, `always` or `never`, spelt exactly so.
    ///
    /// # Errors
    /// For any other word, a text that lists these three.
    pub fn parse(text: &str) -> Result<Colour, String> {
        match text {
            "auto" => Ok(Colour::Auto),
            "always" => Ok(Colour::Always),
            "never" => Ok(Colour::Never),
            _ => Err("it must be one of always, auto, never".to_string()),
        }
    }
}
