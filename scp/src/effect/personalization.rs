//! Where a run of STORE DATA commands stands: block number and the value left open.

use super::rules::ContentRules;

/// P1 of STORE DATA without its last-block and case bits: DGI format, no encryption announced, reserved bits clear
/// (Card Specification 11.11.2.1, table 11-89).
const DGI_FORMAT_IN_CLEAR: u8 = 0x08;
const LAST_BLOCK: u8 = 0x80;
const CASE_4: u8 = 0x01;

/// Position in a personalization, as the receiving application counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    /// Number the next block must carry; none after FF, which has no successor: were it 00 again,
    /// a reader that had refused the blocks before could start anew inside a value.
    next_block: Option<u8>,
    /// Bytes of the last value still to come.
    open: usize,
}

/// What a block was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Block {
    /// Only public values; more blocks follow.
    Public,
    /// Only public values, and all of them complete: the personalization ends.
    PublicLast,
    /// Anything else.
    Closed,
}

impl Position {
    pub(super) const START: Self = Self { next_block: Some(0), open: 0 };

    /// Reads one block and moves on. After [`Block::Closed`] the position means nothing.
    pub(super) fn advance(&mut self, p1: u8, p2: u8, data: &[u8], rules: &ContentRules) -> Block {
        let in_turn = self.next_block == Some(p2);
        if !in_turn || p1 & !(LAST_BLOCK | CASE_4) != DGI_FORMAT_IN_CLEAR || data.is_empty() {
            return Block::Closed;
        }
        let Some(open) = open_after(self.open, data, rules) else { return Block::Closed };
        self.next_block = p2.checked_add(1);
        self.open = open;
        match (p1 & LAST_BLOCK != 0, open) {
            (false, _) => Block::Public,
            (true, 0) => Block::PublicLast,
            (true, _) => Block::Closed,
        }
    }
}

/// Bytes left open after `data`, if all it holds is public.
fn open_after(open: usize, data: &[u8], rules: &ContentRules) -> Option<usize> {
    let mut rest = match data.split_at_checked(open) {
        Some((_, rest)) => rest,
        None => return open.checked_sub(data.len()),
    };
    while !rest.is_empty() {
        let (tag, length, after) = header(rest)?;
        if !rules.is_public_dgi(tag) {
            return None;
        }
        match after.split_at_checked(length) {
            Some((_, next)) => rest = next,
            None => return length.checked_sub(after.len()),
        }
    }
    Some(0)
}

/// Tag, length, and what follows. One byte of length up to FE, or FF and two bytes (EMV Card
/// Personalization 2.2, table 1); two bytes where one would do are not taken.
fn header(data: &[u8]) -> Option<(u16, usize, &[u8])> {
    match data {
        [t1, t0, 0xFF, l1, l0, after @ ..] => {
            let length = u16::from_be_bytes([*l1, *l0]);
            (length >= 0xFF).then_some((u16::from_be_bytes([*t1, *t0]), length.into(), after))
        }
        [_, _, 0xFF, ..] => None,
        [t1, t0, length, after @ ..] => {
            Some((u16::from_be_bytes([*t1, *t0]), (*length).into(), after))
        }
        _ => None,
    }
}
