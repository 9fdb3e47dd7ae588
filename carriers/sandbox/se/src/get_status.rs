//! GET STATUS: the registry as the selected Security Domain may see it, in pages (CS 11.4).

use crate::aid::Aid;
use crate::apdu::Command;
use crate::channel::StatusPage;
use crate::command::Turn;
use crate::privileges::Privilege;
use crate::registry::{Card, Entry, LoadFile, life_cycle};
use crate::status::{Answer, Stop, Sw};
use crate::tlv::{self, Reader};

const ISSUER_SECURITY_DOMAIN: u8 = 0x80;
const APPLICATIONS: u8 = 0x40;
const LOAD_FILES: u8 = 0x20;
const LOAD_FILES_AND_MODULES: u8 = 0x10;
/// P2: the TLV form, the first and the next occurrences. The other form is deprecated and not given.
const FIRST: u8 = 0x02;
const NEXT: u8 = 0x03;
/// The longest page: padded and with a MAC it still fits a short answer.
const PAGE_BYTES_MAX: usize = 239;

pub(crate) fn get_status(turn: &mut Turn<'_>, command: &Command) -> Result<Answer, Stop> {
    turn.session()?;
    let (p1, next) = (command.p1, command.p2 == NEXT);
    let known = [ISSUER_SECURITY_DOMAIN, APPLICATIONS, LOAD_FILES, LOAD_FILES_AND_MODULES];
    if !known.contains(&p1)
        || !matches!(command.p2, FIRST | NEXT)
        || (next && p1 == ISSUER_SECURITY_DOMAIN)
    {
        return Err(Sw::INCORRECT_P1_P2.into());
    }
    let criteria = Criteria::parse(&command.data).ok_or(Sw::WRONG_DATA)?;
    let query = (p1, command.data.clone());
    let given = match (next, turn.channel.status_page.take()) {
        (false, _) => 0,
        (true, Some(page)) if page.query == query => page.given,
        (true, _) => return Err(Sw::CONDITIONS.into()),
    };
    let matches = matches(turn.store.card(), turn.selected()?, p1, &criteria);
    let mut page = Vec::new();
    let mut taken = 0;
    for object in matches.iter().skip(given) {
        if taken > 0 && page.len() + object.len() > PAGE_BYTES_MAX {
            break;
        }
        page.extend(object);
        taken += 1;
    }
    if taken == 0 {
        return Err(Sw::DATA_NOT_FOUND.into());
    }
    let given = given + taken;
    if given == matches.len() {
        return Ok(Answer::ok(page));
    }
    turn.channel.status_page = Some(StatusPage { query, given });
    Ok(Answer { data: page, sw: Sw::MORE_DATA })
}

/// What is searched, and what is wanted of each match.
struct Criteria<'a> {
    /// A whole AID or the beginning of one; empty for all.
    aid: &'a [u8],
    tags: Option<Vec<u16>>,
}

impl<'a> Criteria<'a> {
    /// `4F` first; further criteria are ignored, `5C` lists the tags wanted (CS 11.4.2.3).
    fn parse(data: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(data);
        let aid = reader.expect(0x4F).filter(|aid| aid.len() <= 16)?;
        let mut tags = None;
        while !reader.is_empty() {
            if let (0x5C, list) = reader.tlv()? {
                tags = Some(parse_tags(list)?);
            }
        }
        Some(Self { aid, tags })
    }

    fn matches(&self, aid: &Aid) -> bool {
        aid.as_bytes().starts_with(self.aid)
    }

    fn wants(&self, tag: u16) -> bool {
        self.tags.as_ref().is_none_or(|tags| tags.contains(&tag))
    }

    /// One `E3` with the objects wanted.
    fn describe(&self, objects: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (tag, value) in objects.iter().filter(|(tag, _)| self.wants(*tag)) {
            tlv::write(&mut body, *tag, value);
        }
        tlv::object(0xE3, &body)
    }
}

fn parse_tags(list: &[u8]) -> Option<Vec<u16>> {
    let mut reader = Reader::new(list);
    let mut tags = Vec::new();
    while !reader.is_empty() {
        tags.push(match reader.byte()? {
            first if first & 0x1F == 0x1F => u16::from_be_bytes([first, reader.byte()?]),
            first => u16::from(first),
        });
    }
    Some(tags)
}

/// Everything that matches and that the selected Security Domain is directly or indirectly associated with.
fn matches(card: &Card, selected: &Entry, p1: u8, criteria: &Criteria<'_>) -> Vec<Vec<u8>> {
    let global = selected.privileges.has(Privilege::GlobalRegistry);
    let sees = |associated: &Aid| global || card.is_below(*associated, &selected.aid);
    let entries = card.entries.iter();
    match p1 {
        // The criteria are ignored (CS 11.4.2.1).
        ISSUER_SECURITY_DOMAIN if global => entries
            .filter(|entry| entry.is_issuer())
            .map(|entry| describe_entry(criteria, entry))
            .collect(),
        ISSUER_SECURITY_DOMAIN => Vec::new(),
        APPLICATIONS => entries
            .filter(|entry| !entry.is_issuer() && criteria.matches(&entry.aid))
            .filter(|entry| entry.aid == selected.aid || sees(&entry.associated))
            .map(|entry| describe_entry(criteria, entry))
            .collect(),
        _ => card
            .load_files
            .iter()
            .filter(|file| criteria.matches(&file.aid) && sees(&file.associated))
            .map(|file| describe_load_file(criteria, file, p1 == LOAD_FILES_AND_MODULES))
            .collect(),
    }
}

/// CS Table 11-36.
fn describe_entry(criteria: &Criteria<'_>, entry: &Entry) -> Vec<u8> {
    criteria.describe(&[
        (0x4F, entry.aid.as_bytes()),
        (0x9F70, &[entry.coded_life_cycle()]),
        (0xC5, &entry.privileges.0),
        (0xC4, entry.load_file.as_bytes()),
        (0xCC, entry.associated.as_bytes()),
    ])
}

/// CS Table 11-37.
fn describe_load_file(criteria: &Criteria<'_>, file: &LoadFile, with_modules: bool) -> Vec<u8> {
    let mut objects: Vec<(u16, &[u8])> =
        vec![(0x4F, file.aid.as_bytes()), (0x9F70, &[life_cycle::LOADED]), (0xCE, &file.version)];
    if with_modules {
        objects.extend(file.modules.iter().map(|module| (0x84, module.as_bytes())));
    }
    objects.push((0xCC, file.associated.as_bytes()));
    criteria.describe(&objects)
}
