//! The known name an unknown one may have been meant for.

/// Reads serde's "unknown field `x`, expected one of `a`, `b`": the field, and the nearest expected name when one is near.
pub(crate) fn unknown_field(message: &str) -> Option<(String, Option<String>)> {
    let mut quoted = message.strip_prefix("unknown field ")?.split('`').skip(1).step_by(2);
    let field = quoted.next()?.to_owned();
    let nearest = nearest(&field, quoted);
    Some((field, nearest))
}

/// The candidate with the least edit distance, if it is at most a third of the longer name.
fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    candidates
        .map(|candidate| (distance(name, candidate), candidate))
        .min()
        .filter(|(distance, candidate)| {
            distance.saturating_mul(3) <= name.chars().count().max(candidate.chars().count())
        })
        .map(|(_, candidate)| candidate.to_owned())
}

/// Levenshtein distance, one row at a time.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, letter) in left.chars().enumerate() {
        let mut next = vec![index + 1];
        let steps = row.iter().zip(row.iter().skip(1)).zip(&right);
        let mut before = index + 1;
        for ((diagonal, above), other) in steps {
            before = (before + 1).min(above + 1).min(diagonal + usize::from(letter != *other));
            next.push(before);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (left, right, expected) in [
            ("", "", 0),
            ("a", "", 1),
            ("", "ab", 2),
            ("kitten", "sitting", 3),
            ("listen", "listne", 2),
        ] {
            assert_eq!(distance(left, right), expected, "{left} {right}");
            assert_eq!(distance(right, left), expected, "{right} {left}");
        }
    }

    #[test]
    fn only_near_names_are_offered() {
        assert_eq!(
            nearest("kek_fil", ["kek_file", "listen"].into_iter()),
            Some("kek_file".to_owned())
        );
        assert_eq!(nearest("colour", ["kek_file", "listen"].into_iter()), None);
        assert_eq!(nearest("x", std::iter::empty()), None);
    }

    #[test]
    fn messages_without_a_field_are_left_alone() {
        assert_eq!(unknown_field("invalid value"), None);
        assert_eq!(
            unknown_field("unknown field `a`, there are no fields"),
            Some(("a".to_owned(), None))
        );
    }
}
