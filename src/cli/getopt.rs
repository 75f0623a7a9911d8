//! Reads command lines as Python's `getopt` does, and rewrites them for argh.
//!
//! argh does not know `-nk`, `-cFILE`, `--opt=value` and unique prefixes of long names. Here they become `--name value`,
//! after the checks that Supervisor makes, with its error texts.

use crate::config::repr;
use crate::config::values::Parsed;

/// One option.
#[derive(Clone, Copy)]
pub(super) struct Opt {
    pub short: &'static [char],
    /// With underscores, as written by people.
    pub long: Option<&'static str>,
    /// The name of the value in the help; `None` for a flag.
    pub value: Option<&'static str>,
    /// Checks the value. Returns a sentence if the value is taken for something else than was written.
    pub check: fn(&str) -> Parsed<Option<String>>,
    pub help: &'static str,
    /// The option that its letter means where no value follows: as the last word, or before another option.
    pub bare: Option<&'static Opt>,
    /// Whether Supervisor lacks it. Its name cannot be abbreviated then, so that abbreviations of Supervisor's options keep
    /// their meaning.
    pub ours: bool,
}

impl Opt {
    /// What identifies it: its long name, or else its short one.
    pub(super) fn name(&self) -> &'static str {
        self.long.unwrap_or("help")
    }
}

/// An option as it stood on the command line.
pub(super) struct Given {
    pub option: &'static Opt,
    /// `-c`, or `--configuration` in full.
    pub spelling: String,
    pub value: Option<String>,
}

/// Takes the options off the front of a command line. They end at `--` or at the first word that is not an option.
///
/// # Errors
/// An option is unknown or lacks its value: Supervisor's text.
pub(super) fn lex(options: &'static [Opt], words: &[String]) -> Parsed<(Vec<Given>, Vec<String>)> {
    let mut given = Vec::new();
    let mut words = words.iter();
    let mut rest = Vec::new();
    while let Some(word) = words.next() {
        if word == "--" {
            break;
        } else if let Some(long) = word.strip_prefix("--") {
            given.push(lex_long(options, long, &mut words)?);
        } else if is_option(word) {
            lex_short(options, &word[1..], &mut words, &mut given)?;
        } else {
            rest.push(word.clone());
            break;
        }
    }
    rest.extend(words.cloned());
    Ok((given, rest))
}

/// Takes the options out of the words that follow an action, up to `--`. What is none of these options is left to the
/// action: it has options of its own.
///
/// # Errors
/// An option lacks its value.
pub(super) fn take(options: &'static [Opt], words: &[String]) -> Parsed<(Vec<Given>, Vec<String>)> {
    let (mut given, mut rest) = (Vec::new(), Vec::new());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            rest.push(word.clone());
            break;
        }
        let name = word.split('=').next().unwrap_or_default();
        let is_long = |option: &Opt| name.strip_prefix("--").is_some_and(|name| is_name(option, name));
        let mut letters = word.strip_prefix('-').unwrap_or_default().chars();
        let letter = letters.next().filter(|letter| *letter != '-');
        let is_short = |option: &Opt| {
            letter.is_some_and(|letter| option.short.contains(&letter))
                && (option.value.is_some() || letters.as_str().is_empty())
        };
        if options.iter().any(is_long) {
            given.push(lex_long(options, &word[2..], &mut words)?);
        } else if options.iter().any(is_short) {
            lex_short(options, &word[1..], &mut words, &mut given)?;
        } else {
            rest.push(word.clone());
        }
    }
    rest.extend(words.cloned());
    Ok((given, rest))
}

/// Whether an option is called so: in full, or by the first word of `username`, as relatives call it.
fn is_name(option: &Opt, name: &str) -> bool {
    option.long.is_some_and(|long| long == name || long == "username" && name == "user")
}

fn is_option(word: &str) -> bool {
    word.len() > 1 && word.starts_with('-')
}

fn lex_long<'w>(
    options: &'static [Opt],
    word: &str,
    words: &mut impl Iterator<Item = &'w String>,
) -> Parsed<Given> {
    let (name, attached) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value.to_string())),
        None => (word, None),
    };
    let option = find_long(options, name)?;
    let spelling = format!("--{}", option.name());
    let value = match (option.value, attached) {
        (None, Some(_)) => return Err(format!("option {spelling} must not have an argument")),
        (None, None) => None,
        (Some(_), Some(value)) => Some(value),
        (Some(_), None) => Some(words.next().ok_or(format!("option {spelling} requires argument"))?.clone()),
    };
    Ok(Given { option, spelling, value })
}

/// The option with this name, or the only one whose name begins so. Hyphens may stand for underscores:
/// Supervisor's own help spells an option so that it does not accept.
fn find_long(options: &'static [Opt], name: &str) -> Parsed<&'static Opt> {
    let wanted = name.replace('-', "_");
    let fits = |option: &&Opt| match option.long {
        Some(long) if option.ours => long == wanted,
        Some(long) => long.starts_with(&wanted),
        None => false,
    };
    let candidates: Vec<&Opt> = options.iter().filter(fits).collect();
    let exact = candidates.iter().find(|option| option.long == Some(&wanted));
    match (exact, candidates.as_slice()) {
        (Some(option), _) | (None, [option]) => Ok(option),
        (None, []) => Err(format!("option --{name} not recognized")),
        (None, _) => Err(format!("option --{name} not a unique prefix")),
    }
}

fn lex_short(
    options: &'static [Opt],
    cluster: &str,
    words: &mut std::slice::Iter<'_, String>,
    given: &mut Vec<Given>,
) -> Parsed<()> {
    let mut letters = cluster.chars();
    while let Some(letter) = letters.next() {
        let spelling = format!("-{letter}");
        let option = options.iter().find(|option| option.short.contains(&letter));
        let option = option.ok_or_else(|| format!("option {spelling} not recognized"))?;
        if option.value.is_none() {
            given.push(Given { option, spelling, value: None });
            continue;
        }
        let attached = letters.as_str();
        if let Some(bare) = option.bare
            && attached.is_empty()
            && words.as_slice().first().is_none_or(|next| is_option(next))
        {
            given.push(Given { option: bare, spelling, value: None });
            break;
        }
        let value = match attached {
            "" => words.next().ok_or_else(|| format!("option {spelling} requires argument"))?.clone(),
            attached => attached.to_string(),
        };
        given.push(Given { option, spelling, value: Some(value) });
        break;
    }
    Ok(())
}

/// The result of checking the options one after the other.
pub(super) enum Handled {
    /// Arguments for argh.
    Plain(Vec<String>),
    /// `-h` or `-v` was reached.
    Stop(&'static str),
}

/// Checks the values from left to right, as Supervisor does: the first bad value or repeated option is the
/// error, unless `-h` or `-v` comes before it.
pub(super) fn handle(given: &[Given]) -> Parsed<Handled> {
    let mut plain = Vec::new();
    for (index, this) in given.iter().enumerate() {
        let name = this.option.name();
        if matches!(name, "help" | "version") {
            return Ok(Handled::Stop(name));
        }
        if let Some(value) = &this.value {
            let checked = (this.option.check)(value);
            let doubt = checked
                .map_err(|text| format!("invalid value for {} {}: {text}", this.spelling, repr(value)))?;
            // Only the daemon has options that take such values.
            plain.extend(doubt.into_iter().flat_map(|doubt| {
                ["--doubt".to_string(), format!("command line: {}: {doubt}", this.spelling)]
            }));
        }
        if given[..index].iter().any(|earlier| earlier.option.name() == name) {
            return Err(format!("conflicting command line option {}", repr(&this.spelling)));
        }
        plain.push(format!("--{}", name.replace('_', "-")));
        plain.extend(this.value.clone());
    }
    Ok(Handled::Plain(plain))
}
