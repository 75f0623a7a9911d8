//! "Did you mean …?"

/// The candidate that is most like a word, if any is like it at all.
pub(super) fn most_similar<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    let with_distance = candidates.map(|candidate| (distance(word, candidate), candidate));
    with_distance.filter(|(distance, _)| *distance <= allowed).min().map(|(_, candidate)| candidate)
}

/// How many letters must be inserted, removed, replaced or swapped with their neighbour to make one word of
/// the other (optimal string alignment). Words are compared without case; beyond 64 letters nothing is alike.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().take(64).collect();
    let b: Vec<char> = b.to_lowercase().chars().take(64).collect();
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = rows[i][j] + usize::from(x != y);
            let mut least = replaced.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typical_slips_are_recognized() {
        let keys = ["autostart", "autorestart", "command", "startsecs", "stopsignal", "user", "umask"];
        for (word, meant) in [
            ("autostrat", Some("autostart")),
            ("autorestert", Some("autorestart")),
            ("comand", Some("command")),
            ("startsec", Some("startsecs")),
            ("stop_signal", Some("stopsignal")),
            ("usr", Some("user")),
            ("colour", None),
            ("x", None),
        ] {
            assert_eq!(most_similar(word, keys.into_iter()), meant, "{word}");
        }
    }
}
