//! A configuration of an ecosystem file of PM2: JSON, JSON5, YAML, or JavaScript that is nothing but values.

mod app;
mod logs;

use crate::convert::import::{Imported, Names};
use crate::convert::losses::Losses;
use crate::convert::tree::{self, Node};

/// What JavaScript has to be turned into.
const RUN_NODE: &str = "run node -e 'console.log(JSON.stringify(require(\"./ecosystem.config.js\")))' > ecosystem.json, and \
                        import that";

/// Makes a configuration of the text of an ecosystem file; what it is, is told by its name.
///
/// # Errors
/// It is not such a file.
pub(super) fn import(text: &str, file: &str, losses: &mut Losses) -> Result<Imported, String> {
    read(text, file, losses).map_err(|error| format!("{file}: {error}"))
}

fn read(text: &str, file: &str, losses: &mut Losses) -> Result<Imported, String> {
    let ends_with = |ends: &[&str]| ends.iter().any(|end| file.ends_with(end));
    let root = if ends_with(&[".yml", ".yaml"]) {
        tree::yaml(text)?
    } else if ends_with(&[".js", ".cjs", ".mjs", ".ts"]) {
        let value =
            exported(text).ok_or_else(|| format!("it does not begin with module.exports =: {RUN_NODE}"))?;
        tree::json5(value).map_err(|error| format!("it is more than values ({error}): {RUN_NODE}"))?
    } else {
        tree::json5(text).map_err(|error| format!("it is neither JSON nor JSON5: {error}"))?
    };
    let apps = match &root {
        Node::List(apps) => apps.as_slice(),
        Node::Map(_) => match root.get("apps") {
            Some(Node::List(apps)) => apps.as_slice(),
            Some(app) => std::slice::from_ref(app),
            None if root.get("script").is_some() => std::slice::from_ref(&root),
            None => return Err("it names no apps: expected { apps: [ { name, script, … } ] }".to_string()),
        },
        other => return Err(format!("it is {}, and expected is {{ apps: [ … ] }}", other.kind())),
    };
    let rest =
        if let (Node::Map(pairs), true) = (&root, root.get("apps").is_some()) { &**pairs } else { &[] };
    for (key, value) in rest.iter().filter(|(key, _)| key != "apps") {
        let why = if key == "deploy" {
            "nothing here deploys: use what you deploy with"
        } else {
            "nothing here means that"
        };
        losses.note(key.as_str(), value.shown(), why);
    }
    let (mut imported, mut names) = (Imported::default(), Names::default());
    for (number, app) in (1..).zip(apps) {
        app::import(app, number, &mut names, &mut imported, losses)?;
    }
    Ok(imported)
}

/// The value that a module exports, if there is nothing else in front but comments.
fn exported(text: &str) -> Option<&str> {
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    loop {
        rest = if let Some(comment) = rest.strip_prefix("//") {
            comment.split_once('\n').map_or("", |(_, rest)| rest)
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/")?.1
        } else if let Some(rest) =
            ["'use strict'", "\"use strict\""].iter().find_map(|strict| rest.strip_prefix(strict))
        {
            rest.trim_start().trim_start_matches(';')
        } else {
            break;
        };
        rest = rest.trim_start();
    }
    let value = match rest.strip_prefix("module.exports") {
        Some(rest) => rest.trim_start().strip_prefix('=')?,
        None => rest.strip_prefix("export default")?,
    };
    Some(value.trim().trim_end_matches(';'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_exports_is_found() {
        for (text, expected) in [
            ("module.exports = {a: 1};\n", Some("{a: 1}")),
            ("// x\n/* y\n */ 'use strict';\nmodule.exports={}", Some("{}")),
            ("export default [1]", Some("[1]")),
            ("const a = 1\nmodule.exports = {a}", None),
            ("/* x", None),
            ("", None),
        ] {
            assert_eq!(exported(text).map(str::trim), expected, "{text}");
        }
    }
}
