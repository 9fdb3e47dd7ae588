//! Random bytes from the operating system's generator.

/// `N` random bytes.
///
/// # Panics
/// If the system has no randomness, where nothing of a rehearsal is worth going on with.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's random number generator");
    bytes
}

/// `count` random decimal digits as text.
#[must_use]
pub fn digits(count: usize) -> String {
    // 250 is the largest multiple of ten in a byte: above it the digits would not be equally likely.
    std::iter::repeat_with(|| bytes::<1>()[0])
        .filter(|byte| *byte < 250)
        .map(|byte| char::from(b'0' + byte % 10))
        .take(count)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_digits_and_bytes_differ() {
        assert!(digits(64).chars().all(|digit| digit.is_ascii_digit()));
        assert_eq!(digits(4).len(), 4);
        assert_ne!(bytes::<16>(), bytes::<16>());
    }
}
