//! Parses names and values in the format of forms, in a query or a body.

use crate::model::percent::{self, Byte};

/// Names and values, decoded, in the order they were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Parses `name=value&…`. Invalid UTF-8 is replaced, and a percent sign without two digits is kept as it is.
    pub(crate) fn parse(text: &str) -> Query {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Query(
            pairs
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decoded(name), decoded(value))
                })
                .collect(),
        )
    }

    /// Parses the query in the target of a request.
    pub(crate) fn of_target(target: &str) -> Query {
        let target = target.split('#').next().unwrap_or_default();
        target.split_once('?').map(|(_, query)| Query::parse(query)).unwrap_or_default()
    }

    /// The first value with this name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

fn decoded(text: &str) -> String {
    let value = |byte: Byte| if byte == Byte::Plain(b'+') { b' ' } else { byte.value() };
    let bytes: Vec<u8> = percent::bytes(text).map(value).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read() {
        let query = Query::of_target("/x?a=1&b=a+b%2f%zz%&&c&a=2&%C3%BC=%ff#d=1");
        for (name, expected) in [
            ("a", Some("1")),
            ("b", Some("a b/%zz%")),
            ("c", Some("")),
            ("d", None),
            ("ü", Some("\u{fffd}")),
            ("", None),
        ] {
            assert_eq!(query.get(name), expected, "{name}");
        }
        assert_eq!(Query::of_target("/x"), Query::default());
    }
}
