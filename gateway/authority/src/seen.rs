//! What the store knows about tokens seen before.

/// A consumed token, as the store remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumedRef {
    /// SHA-256 of the token as it was presented.
    pub token_sha256: [u8; 32],
    /// SHA-256 of the request it was presented with.
    pub request_sha256: [u8; 32],
}

/// What can be put on a deny list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DenyKind {
    /// An issuer, by its id.
    Issuer,
    /// A signing key: its `kid`, or the SHA-256 of the leaf certificate in upper-case hex.
    Key,
    /// A terminal, by its id.
    Terminal,
    /// A clerk, by its id.
    Clerk,
    /// A token, by its `jti`.
    Token,
    /// An SE under an incident stop, by the value of its ICCID, EID or SEID.
    SecureElement,
}

/// Read access to what was seen before. A read is enough here: consuming the token checks `jti` and
/// `seq` again, in the transaction that writes them.
pub trait Seen {
    /// The consumed token of this `jti`, if there is one.
    fn jti_seen(&self, jti: &str) -> Option<ConsumedRef>;
    /// The highest `seq` consumed from this issuer's terminal.
    fn seq_high_water(&self, iss: &str, term: &str) -> Option<u64>;
    /// Whether the deny list holds this id.
    fn denied(&self, kind: DenyKind, id: &str) -> bool;
    /// Wrong access codes already given for this `jti`.
    fn access_code_failures(&self, jti: &str) -> u32;
}
