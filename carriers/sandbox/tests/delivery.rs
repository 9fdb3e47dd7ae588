//! The assembled CAP file and a made identity, through GlobalPlatform commands, onto a virtual SE that then signs.

use aws_lc_rs::{
    cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey},
    cmac,
    iv::FixedLength,
};
use rcgen::{CertificateParams, Issuer, KeyPair};
use sandbox::{
    cap::{self, Applet},
    identity_key::{DGIS, IdentityKey},
    reader::Reader,
};
use scp::{
    Aid, CommandApdu, KeyLength, Outbound, Script, SecurityLevel, StaticKey, Typed, TypedScript,
    cap::Cap,
    content::{
        install, load,
        store_data::{self, Dgi},
    },
    scp03::{
        channel::{Awaiting, Channel},
        typed::TypedChallenge,
    },
};
use se::{Factory, SecureElement};

const ICCID: &str = "8981100000000000018";
const BLOCK_MAX: u8 = 223;
/// Key-ENC, Key-MAC and Key-DEK of `Factory::default()`.
const KEY: [u8; 16] = [
    0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4A, 0x4B, 0x4C, 0x4D, 0x4E, 0x4F,
];

fn aid(text: &str) -> Aid {
    text.parse().unwrap()
}

fn applet() -> Applet {
    Applet { package: aid("F04D41444F47554348490101"), module: aid("F04D41444F4755434849010101") }
}

fn instance() -> Aid {
    aid("F04D41444F4755434849010102")
}

fn issuer_security_domain() -> Aid {
    aid("A000000151000000")
}

fn transmit(se: &mut SecureElement, script: &TypedScript) -> Vec<Vec<u8>> {
    script.commands().iter().map(|command| se.transmit(command)).collect()
}

fn open(se: &mut SecureElement) -> Channel<Typed> {
    se.reset();
    for command in Outbound::select(&issuer_security_domain()).commands() {
        assert!(se.transmit(command).ends_with(&[0x90, 0x00]));
    }
    let host_challenge = [7; 8];
    let command = [&[0x80, 0x50, 0x00, 0x00, 0x08][..], &host_challenge, &[0x00]].concat();
    let answer = se.transmit(&command);
    let data = answer.strip_suffix(&[0x90, 0x00]).unwrap();
    let domain = Some(issuer_security_domain());
    let challenge = TypedChallenge::new(&host_challenge, data, KeyLength::Aes128, domain).unwrap();
    let prf = |_: StaticKey, input: &[u8]| -> Result<[u8; 16], aws_lc_rs::error::Unspecified> {
        let tag = cmac::sign(&cmac::Key::new(cmac::AES_128, &KEY)?, input)?;
        tag.as_ref().try_into().map_err(|_| aws_lc_rs::error::Unspecified)
    };
    let derived = challenge.derivations().answer(prf).unwrap();
    let verified = challenge.verify(derived).unwrap();
    let (authenticating, script) = verified.external_authenticate(SecurityLevel::All).unwrap();
    let answers = transmit(se, &script);
    authenticating.answer(&answers[0]).unwrap()
}

fn finished(awaiting: Awaiting<Typed>, answers: &[Vec<u8>]) -> Result<Channel<Typed>, u16> {
    let unwrapped = awaiting.unwrap(answers).unwrap();
    match unwrapped.answers.iter().find(|answered| !answered.status().is_success()) {
        Some(answered) => Err(answered.status().0),
        None => Ok(unwrapped.channel.unwrap()),
    }
}

fn run(
    se: &mut SecureElement,
    channel: Channel<Typed>,
    commands: Vec<CommandApdu>,
) -> Result<Channel<Typed>, u16> {
    let (awaiting, script) = channel.wrap(Script::new(commands).unwrap()).unwrap();
    let answers = transmit(se, &script);
    finished(awaiting, &answers)
}

fn load_and_install(se: &mut SecureElement, file: &[u8]) -> Result<Channel<Typed>, u16> {
    let Applet { package, module } = applet();
    let mut commands =
        vec![install::for_load(package, Some(issuer_security_domain()), None, &[]).unwrap()];
    commands.extend(load::blocks(file, BLOCK_MAX).unwrap());
    commands.push(
        install::for_install_and_make_selectable(package, module, instance(), &[0x00], &[])
            .unwrap(),
    );
    let channel = open(se);
    run(se, channel, commands)
}

/// AES-CBC with a zero IV under the Key-DEK, the PIN padded as ISO/IEC 7816-4 has it.
fn encrypted(value: &[u8]) -> Vec<u8> {
    let mut padded = value.to_vec();
    if !padded.len().is_multiple_of(16) {
        padded.push(0x80);
        padded.resize(padded.len().next_multiple_of(16), 0);
    }
    let key = UnboundCipherKey::new(&AES_128, &KEY).unwrap();
    let key = EncryptingKey::cbc(key).unwrap();
    let zero = EncryptionContext::Iv128(FixedLength::from(&[0_u8; 16]));
    key.less_safe_encrypt(&mut padded, zero).unwrap();
    padded
}

fn personalize(se: &mut SecureElement, identity: &IdentityKey) -> Result<(), u16> {
    let dgis: Vec<Dgi> = DGIS
        .into_iter()
        .map(|tag| {
            let value = identity.data_grouping(tag).unwrap();
            let is_public = matches!(tag, 0x0101 | 0x0102);
            Dgi { tag, value: if is_public { value.to_vec() } else { encrypted(value) } }
        })
        .collect();
    let script =
        store_data::personalization(issuer_security_domain(), instance(), &dgis, BLOCK_MAX);
    let channel = open(se);
    let (awaiting, script) = channel.wrap_key_script(script.unwrap()).unwrap();
    let answers = transmit(se, &script);
    finished(awaiting, &answers).map(drop)
}

fn identity() -> IdentityKey {
    let params = CertificateParams::new(Vec::new()).unwrap();
    let authority = Issuer::new(params, KeyPair::generate().unwrap());
    IdentityKey::generate(&authority, "pseudonym", "4711".to_owned()).unwrap()
}

fn load_file() -> Vec<u8> {
    Cap::parse(&cap::assemble(&applet()).unwrap()).unwrap().load_file_data_block()
}

#[test]
fn the_host_reads_the_assembled_cap_file() {
    let cap = Cap::parse(&cap::assemble(&applet()).unwrap()).unwrap();
    assert_eq!(cap.load_file(), applet().package);
    assert_eq!(cap.applets(), [applet().module]);
}

#[test]
fn a_delivered_identity_signs_on_the_se() {
    let mut se = SecureElement::new(Factory::default()).unwrap();
    load_and_install(&mut se, &load_file()).unwrap();
    let identity = identity();
    personalize(&mut se, &identity).unwrap();
    let mut reader = Reader::insert(&mut se, ICCID);
    let proof = reader.prove(&instance(), &identity).unwrap();
    assert_eq!((proof.signature.len(), proof.pin.as_str()), (512, "4711"));
    assert!(reader.opens(&issuer_security_domain(), 0x30).unwrap());
    assert!(!reader.opens(&issuer_security_domain(), 0x31).unwrap());
    // The proof is of this key: another identity's certificate does not fit it.
    assert!(reader.prove(&instance(), &self::identity()).is_err());
    let apps = se.apps();
    assert_eq!(apps[0].life_cycle, "0F");
    let digest = sandbox::issuer::sha256_hex(&identity.public_key);
    assert_eq!(apps[0].key_sha256.as_deref(), Some(digest.as_str()));
}

#[test]
fn a_load_file_cut_short_is_refused() {
    let mut se = SecureElement::new(Factory::default()).unwrap();
    let whole = load_file();
    let refused = load_and_install(&mut se, &whole[..whole.len() - 1]).unwrap_err();
    assert_eq!(refused, 0x6A80);
}
