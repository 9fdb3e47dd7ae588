//! Instruction bytes (CS 2.3.1 Table 11-1 and §11.2 to §11.11; AmdD §7.1).

pub(crate) const INITIALIZE_UPDATE: u8 = 0x50;
pub(crate) const MANAGE_CHANNEL: u8 = 0x70;
pub(crate) const EXTERNAL_AUTHENTICATE: u8 = 0x82;
pub(crate) const SELECT: u8 = 0xA4;
/// ISO/IEC 7816-4 §11.8.1.
pub(crate) const GET_RESPONSE: u8 = 0xC0;
pub(crate) const GET_DATA: u8 = 0xCA;
/// GET DATA under an interindustry class.
pub(crate) const GET_DATA_ISO: u8 = 0xCB;
pub(crate) const PUT_KEY: u8 = 0xD8;
pub(crate) const STORE_DATA: u8 = 0xE2;
pub(crate) const DELETE: u8 = 0xE4;
pub(crate) const INSTALL: u8 = 0xE6;
pub(crate) const LOAD: u8 = 0xE8;
pub(crate) const SET_STATUS: u8 = 0xF0;
pub(crate) const GET_STATUS: u8 = 0xF2;
