//! One text of several that differ by a word: `worker_00`, `worker_01` … become `worker_%i`.

/// What each of several names has between their common begin and end, and that begin. A number is never cut in two.
/// `None` if the names are not different.
pub(in crate::convert) fn instances(names: &[&str]) -> Option<(String, Vec<String>)> {
    let first = names.first()?;
    let mut begin = first.len();
    for name in names {
        begin = begin.min(first.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count());
    }
    let is_digit = |name: &str, at: usize| name.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    while begin > 0 && is_digit(first, begin - 1) {
        begin -= 1;
    }
    let mut end = first.len() - begin;
    for name in names {
        let same = first.bytes().rev().zip(name.bytes().rev()).take_while(|(a, b)| a == b).count();
        end = end.min(same).min(name.len() - begin);
    }
    while end > 0 && is_digit(first, first.len() - end) {
        end -= 1;
    }
    let parts: Vec<String> = names.iter().map(|name| name[begin..name.len() - end].to_string()).collect();
    // What is no number could be a part of any word.
    let are_numbers =
        parts.iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    are_numbers.then(|| (first[..begin].to_string(), parts))
}

/// The text that becomes each of these when `%i` is its own word. `None` if there is no such text.
pub(in crate::convert) fn unify(texts: &[String], words: &[String]) -> Option<String> {
    let first = texts.first()?;
    if texts.iter().all(|text| text == first) {
        return Some(first.clone());
    }
    let mut at = vec![0; texts.len()];
    let mut unified = String::new();
    loop {
        let rests: Vec<&str> = texts.iter().zip(&at).map(|(text, at)| &text[*at..]).collect();
        if rests.iter().all(|rest| rest.is_empty()) {
            return Some(unified);
        }
        if rests.iter().zip(words).all(|(rest, word)| rest.starts_with(word.as_str())) {
            unified.push_str("%i");
            at.iter_mut().zip(words).for_each(|(at, word)| *at += word.len());
            continue;
        }
        let next = rests[0].chars().next()?;
        if !rests.iter().all(|rest| rest.starts_with(next)) {
            return None;
        }
        unified.push(next);
        at.iter_mut().for_each(|at| *at += next.len_utf8());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_between_names_is_a_number() {
        for (names, expected) in [
            (&["w_00", "w_01", "w_10"][..], Some(("w_", vec!["00", "01", "10"]))),
            (&["w0", "w1"], Some(("w", vec!["0", "1"]))),
            // Not cut where the digits begin to differ.
            (&["w_10", "w_11"], Some(("w_", vec!["10", "11"]))),
            (&["9-x", "10-x"], Some(("", vec!["9", "10"]))),
            (&["wa", "wb"], None),
            (&["w", "w1"], None),
            (&[], None),
        ] {
            let found = instances(names);
            let expected = expected
                .map(|(begin, parts)| (begin.to_string(), parts.into_iter().map(String::from).collect()));
            assert_eq!(found, expected, "{names:?}");
        }
    }

    #[test]
    fn texts_are_unified_where_they_differ_by_the_word_alone() {
        let check = |texts: &[&str], words: &[&str], expected: Option<&str>| {
            let owned = |list: &[&str]| list.iter().map(|word| word.to_string()).collect::<Vec<_>>();
            assert_eq!(unify(&owned(texts), &owned(words)).as_deref(), expected, "{texts:?}");
        };
        check(&["x -p 8000 ä", "x -p 8001 ä"], &["0", "1"], Some("x -p 800%i ä"));
        check(&["n 00 of 10", "n 01 of 10"], &["00", "01"], Some("n %i of 10"));
        check(&["port 80", "port 81"], &["00", "01"], None);
        check(&["a 1", "a 2 b"], &["1", "2"], None);
        check(&["same", "same"], &["0", "1"], Some("same"));
    }
}
