//! A TSM on loopback, driven by the leg the gateway drives it with.

use std::time::Duration;

use carriers::{
    ApplicationStatus, Begin, CallId, Carrier, CarrierError, Conversation, EligibilityRequest,
    Misbehaviour, Reach, Retry, ScriptAnswer, SeId, SimpleCommand, SimpleRequest, StatusRequest,
    json::{JsonCarrier, JsonCarrierSettings},
};
use rustls::crypto::{
    aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256,
    hpke::{EncapsulatedSecret, Hpke},
};
use scp::{
    CommandApdu, ContentRules, KeyVersionNumber, Outbound, SeProfile, Selected, content::load,
};
use tempfile::TempDir;
use tokio::sync::Notify;

use super::{platform::Outcome, seat::BLOCK_MAX, session::Session, *};
use crate::{
    cap::{self, Applet},
    pki::{Pki, Usage},
    random,
};

const ONE: &str = "8981100000000000018";
const OTHER: &str = "8981100000000000026";
const SERVICE: &str = "jpki-user-authentication";

/// A TSM with two SEs, a leg to it, and the directory their certificates are in.
struct Desk {
    tsm: Tsm,
    leg: JsonCarrier,
    directory: TempDir,
}

fn security_domain() -> Aid {
    "A000000151535001".parse().unwrap()
}

fn aid(text: &str) -> Aid {
    text.parse().unwrap()
}

fn fleet_se(iccid: &str) -> FleetSe {
    let isd_keys: [Vec<u8>; 3] = std::array::from_fn(|_| random::bytes::<16>().to_vec());
    let factory =
        se::Factory { isd_keys: isd_keys.clone(), kdd: random::bytes(), ..se::Factory::default() };
    FleetSe { iccid: iccid.into(), se: SecureElement::new(factory).unwrap(), isd_keys }
}

impl Desk {
    async fn open(mode: Mode, shared_key_set: bool) -> Desk {
        let directory = tempfile::tempdir().unwrap();
        let pki = Pki::create(directory.path()).unwrap();
        let server = pki.identity("tsm", Usage::Server).unwrap();
        let client = pki.identity("gateway", Usage::Client).unwrap();
        let settings = TsmSettings {
            id: "carrier-a".into(),
            mode,
            listen: "127.0.0.1:0".parse().unwrap(),
            tls: pki.server_tls(&server).unwrap(),
            log_path: Some(directory.path().join("tsm.jsonl")),
            security_domain: SecurityDomainSettings { aid: security_domain(), shared_key_set },
        };
        let tsm = Tsm::start(settings, vec![fleet_se(ONE), fleet_se(OTHER)]).await.unwrap();
        let leg = JsonCarrier::new(JsonCarrierSettings {
            id: "carrier-a".into(),
            base_url: tsm.base_url(),
            mode,
            ca_file: pki.ca_file(),
            certificate_file: client.certificate_file.clone(),
            key_file: client.key_file.clone(),
            connect_timeout_ms: 5_000,
            answer_timeout_ms: 300,
            response_max_bytes: 65_536,
            requests_max: 8,
            idle_timeout_ms: 10_000,
            sandbox: true,
        })
        .unwrap();
        Desk { tsm, leg, directory }
    }

    async fn begin(&self, iccid: &str) -> Result<Conversation, CarrierError> {
        let begin = Begin {
            call: CallId::fresh(),
            se: SeId::iccid(iccid).unwrap(),
            service: SERVICE.into(),
            target: security_domain(),
            script_bytes_estimate: 256,
        };
        self.leg.begin(&begin).await
    }

    async fn send(
        &self,
        conversation: &Conversation,
        script: Outbound,
    ) -> Result<ScriptAnswer, CarrierError> {
        self.leg.send_script(conversation, &CallId::fresh(), script, 60_000).await
    }

    /// A script by hand, as nothing but the channel's own wrapping could make it.
    fn script(&self, conversation: u64, commands: &[&str]) -> Outcome {
        let body = serde_json::json!({
            "FunctionCallIdentifier": "by-hand", "ConversationID": conversation, "CommandAPDU": commands,
        });
        self.tsm.platform.perform("SendScript", body.to_string().as_bytes())
    }

    fn received(&self, iccid: &str) -> u64 {
        self.tsm.with_se(iccid, |se| se.counts().received).unwrap()
    }
}

fn profile() -> SeProfile {
    serde_json::from_value(serde_json::json!({
        "name": "uicc-scp03-i70", "i": "70", "key_length": "aes-128", "level": "33",
        "put_key_block": "length-prefixed", "takeover": "renumber",
    }))
    .unwrap()
}

/// SELECT and INITIALIZE UPDATE under the first key set.
fn opening() -> (scp::Initiating, Outbound) {
    let kvn = KeyVersionNumber::new(0x30).unwrap();
    let rules = ContentRules::nothing_public();
    let selected = Selected::new(security_domain(), kvn, &profile(), rules).unwrap();
    let (initiating, _) = selected.initialize_update(random::bytes());
    let script = Outbound::select(&security_domain()).then(initiating.outbound());
    (initiating, script)
}

/// The SELECT of our Security Domain alone.
fn select() -> Outbound {
    Outbound::select(&security_domain())
}

#[tokio::test]
async fn an_se_is_opened_under_the_first_key_set_that_was_handed_over() {
    let desk = Desk::open(Mode::Authorised, false).await;
    let (public_key, private_key) = DH_KEM_X25519_HKDF_SHA256_AES_256.generate_key_pair().unwrap();
    let hand_over = desk
        .tsm
        .sealed_hand_over(ONE, "carrier-a", "uicc-scp03-i70", &hex::encode(&public_key.0))
        .unwrap();
    let wrapped = &hand_over.wrapped;
    let opened = DH_KEM_X25519_HKDF_SHA256_AES_256
        .open(
            &EncapsulatedSecret(hex::decode(&wrapped.enc).unwrap()),
            INFO,
            b"carrier-a\n8981100000000000018\nA000000151535001\n30",
            &hex::decode(&wrapped.ciphertext).unwrap(),
            &private_key,
        )
        .unwrap();
    let keys = StaticKeys::new(std::array::from_fn(|at| opened[at * 16..][..16].to_vec())).unwrap();
    assert_eq!((keys.check_values().unwrap(), 128), (hand_over.kcv, hand_over.key_length));

    let conversation = desk.begin(ONE).await.unwrap();
    let (initiating, script) = opening();
    let answer = desk.send(&conversation, script).await.unwrap();
    assert_eq!((answer.responses.len(), answer.failed_index), (2, None));
    let challenged = initiating.answer(&answer.responses[1]).unwrap();
    assert_eq!(hex::encode_upper(challenged.key_diversification_data()), hand_over.kdd);
    let derived = challenged.derivations().answer(|key, input| keys.cmac(key, input)).unwrap();
    assert!(challenged.verify::<scp::Typed>(derived).is_ok());
}

#[tokio::test]
async fn every_se_has_its_own_first_key_set_unless_the_carrier_is_careless() {
    for careless in [false, true] {
        let desk = Desk::open(Mode::Authorised, careless).await;
        let kcv = |iccid| {
            let rows = desk.tsm.with_se(iccid, |se| se.key_sets()).unwrap();
            rows.into_iter()
                .find(|row| row.sd == "A000000151535001" && row.kvn == "30")
                .unwrap()
                .kcv
        };
        assert_eq!(kcv(ONE) == kcv(OTHER), careless);
        assert_eq!(desk.tsm.with_se(ONE, |se| se.ledger().len()), Some(0));
    }
}

#[tokio::test]
async fn our_security_domain_is_personalized_and_manages_content_where_agreed() {
    for (mode, authorized) in [(Mode::Authorised, 0x40), (Mode::Simple, 0x00)] {
        let desk = Desk::open(mode, false).await;
        let kvn_keys = desk.tsm.platform.seat(ONE).unwrap().first_keys.clone();
        let entry = desk.tsm.with_se(ONE, |se| {
            let session = Session::open(se, security_domain(), &kvn_keys).unwrap();
            let (entries, _) =
                session.registry(scp::content::status_data::Scope::Applications).unwrap();
            entries.into_iter().find(|entry| entry.aid == security_domain())
        });
        let entry = entry.flatten().unwrap();
        assert_eq!(entry.life_cycle, 0x0F);
        assert_eq!(entry.privileges.unwrap().0, [0x80, authorized, 0x00]);
    }
}

#[tokio::test]
async fn eligibility_is_known_and_conversations_follow_one_another() {
    let desk = Desk::open(Mode::Authorised, false).await;
    let ask = |iccid: &str| EligibilityRequest {
        call: CallId::fresh(),
        se: SeId::iccid(iccid).unwrap(),
        service: SERVICE.into(),
    };
    assert!(desk.leg.check_eligibility(&ask(ONE)).await.unwrap().eligible);
    let unknown = desk.leg.check_eligibility(&ask("8981100000000000034")).await.unwrap();
    assert!(!unknown.eligible && !unknown.reasons.is_empty());

    let first = desk.begin(ONE).await.unwrap();
    let second = desk.begin(ONE).await.unwrap();
    let late = desk.send(&first, select()).await;
    assert!(matches!(late, Err(CarrierError::Refused { .. })), "{late:?}");
    assert!(desk.send(&second, select()).await.is_ok());
    desk.leg.end(second.clone(), &CallId::fresh()).await.unwrap();
    assert!(desk.send(&second, select()).await.is_err());
}

#[tokio::test]
async fn a_script_stops_at_its_first_error() {
    let desk = Desk::open(Mode::Authorised, false).await;
    let conversation = desk.begin(ONE).await.unwrap();
    let absent = Outbound::select(&aid("A0000000990001"));
    let answer = desk.send(&conversation, select().then(absent).then(select())).await.unwrap();
    assert_eq!((answer.responses.len(), answer.failed_index), (2, Some(2)));
    assert_eq!(answer.responses[1], [0x6A, 0x82]);
}

#[tokio::test]
async fn every_script_is_logged_and_key_writes_are_counted() {
    let desk = Desk::open(Mode::Authorised, false).await;
    let conversation = desk.begin(ONE).await.unwrap();
    desk.send(&conversation, select()).await.unwrap();
    for _ in 0..2 {
        assert!(matches!(desk.script(conversation.id, &["84D8308101AA"]), Outcome::Answer(_)));
    }
    let expected = TsmStats { scripts: 3, key_write_scripts: 2, duplicates: 1 };
    assert_eq!((desk.tsm.stats(), desk.tsm.stats_of(ONE)), (expected, expected));
    let log = std::fs::read_to_string(desk.directory.path().join("tsm.jsonl")).unwrap();
    let records: Vec<ScriptRecord> =
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.iter().map(|it| it.duplicate).collect::<Vec<_>>(), [false, false, true]);
    assert!(records.iter().all(|record| record.se == ONE));
}

#[tokio::test]
async fn a_lost_answer_leaves_it_unknown_whether_the_se_got_the_script() {
    let desk = Desk::open(Mode::Authorised, false).await;
    for applied in [true, false] {
        let conversation = desk.begin(ONE).await.unwrap();
        desk.tsm.arm(ONE, Fault::LoseAnswer { on: On::next(Script::Any), applied });
        let before = desk.received(ONE);
        let lost = desk.send(&conversation, select()).await.unwrap_err();
        assert_eq!(lost.may_have_reached_card(), Reach::Unknown);
        assert_eq!(desk.received(ONE) > before, applied);
        assert!(desk.send(&conversation, select()).await.is_ok());
    }
}

#[tokio::test]
async fn a_held_answer_is_executed_and_never_comes() {
    let desk = Desk::open(Mode::Authorised, false).await;
    let conversation = desk.begin(ONE).await.unwrap();
    let reached = Arc::new(Notify::new());
    let on = On { script: Script::Any, nth: 2 };
    desk.tsm.arm(ONE, Fault::HoldAnswer { on, reached: reached.clone() });
    assert!(desk.send(&conversation, select()).await.is_ok());
    let before = desk.received(ONE);
    let held = desk.send(&conversation, select()).await.unwrap_err();
    assert_eq!(held.may_have_reached_card(), Reach::Unknown);
    tokio::time::timeout(Duration::from_secs(5), reached.notified()).await.unwrap();
    assert_eq!(desk.received(ONE), before + 1);
    // The platform is not held up with it.
    assert!(desk.begin(ONE).await.is_ok());
}

#[tokio::test]
async fn forged_answers_say_what_the_se_did_not() {
    let desk = Desk::open(Mode::Authorised, false).await;
    let conversation = desk.begin(ONE).await.unwrap();
    let before = desk.received(ONE);
    let data = vec![0x31, 1, 2, 3];
    desk.tsm.arm(ONE, Fault::ForgeSuccess { on: On::next(Script::Any), data });
    let forged = desk.send(&conversation, select().then(select())).await.unwrap();
    assert_eq!(forged.responses, [vec![0x90, 0x00], vec![0x31, 1, 2, 3, 0x90, 0x00]]);
    assert_eq!(desk.received(ONE), before);
    for applied in [false, true] {
        let before = desk.received(ONE);
        let on = On::next(Script::Any);
        desk.tsm.arm(ONE, Fault::ForgeRefusal { on, status: 0x6A80, applied });
        let refused = desk.send(&conversation, select()).await.unwrap();
        assert_eq!((refused.responses, refused.failed_index), (vec![vec![0x6A, 0x80]], Some(1)));
        assert_eq!(desk.received(ONE) > before, applied);
    }
}

#[tokio::test]
async fn a_swapped_se_and_a_rewritten_i_are_what_they_say() {
    let desk = Desk::open(Mode::Authorised, false).await;
    desk.tsm.arm(ONE, Fault::SwapSe { with: OTHER.into() });
    let conversation = desk.begin(ONE).await.unwrap();
    desk.send(&conversation, select()).await.unwrap();
    assert_eq!((desk.received(ONE), desk.received(OTHER)), (0, 1));
    assert_eq!((desk.tsm.stats_of(ONE).scripts, desk.tsm.stats_of(OTHER).scripts), (1, 0));
    desk.tsm.clear(ONE);

    desk.tsm.arm(ONE, Fault::RewriteI { i: 0x10 });
    let conversation = desk.begin(ONE).await.unwrap();
    let (initiating, script) = opening();
    let answer = desk.send(&conversation, script).await.unwrap();
    assert_eq!(answer.responses[1][12], 0x10);
    assert!(initiating.answer(&answer.responses[1]).is_err());
}

#[tokio::test]
async fn an_unavailable_platform_and_a_broken_answer_are_told_apart() {
    let desk = Desk::open(Mode::Authorised, false).await;
    desk.tsm.arm(ONE, Fault::Unavailable503 { times: 1 });
    let refused = desk.begin(ONE).await.unwrap_err();
    assert_eq!(refused.may_have_reached_card(), Reach::Answered);
    assert!(matches!(refused.retry(), Retry::Later { .. }));
    let conversation = desk.begin(ONE).await.unwrap();
    desk.tsm.arm(ONE, Fault::Truncate { on: On::next(Script::Any), at: 20 });
    let broken = desk.send(&conversation, select()).await;
    let Err(CarrierError::Misbehaved { fault: Misbehaviour::Form(_) }) = broken else {
        panic!("{broken:?}");
    };
}

#[tokio::test]
async fn in_simple_mode_the_carrier_loads_installs_and_extradites() {
    let desk = Desk::open(Mode::Simple, false).await;
    let applet = Applet { package: aid("D392F000260100"), module: aid("D392F00026010001") };
    let instance = aid("D392F0002601000101");
    let cap = scp::cap::Cap::parse(&cap::assemble(&applet).unwrap()).unwrap();
    let command = |command: &SimpleCommand| SimpleRequest {
        call: CallId::fresh(),
        se: SeId::iccid(ONE).unwrap(),
        service: SERVICE.into(),
        command: command.clone(),
    };
    let commands = [
        SimpleCommand::LoadElf {
            load_file: applet.package,
            security_domain: None,
            data: cap.load_file_data_block(),
        },
        SimpleCommand::InstantiateApplication {
            load_file: applet.package,
            module: applet.module,
            instance,
            privileges: vec![0x00],
            parameters: Vec::new(),
        },
        SimpleCommand::Extradite { applet: instance, security_domain: security_domain() },
    ];
    for each in &commands {
        // Twice: a repeated call finds its work done.
        desk.leg.simple(&command(each)).await.unwrap();
        desk.leg.simple(&command(each)).await.unwrap();
    }
    let status = StatusRequest {
        call: CallId::fresh(),
        se: SeId::iccid(ONE).unwrap(),
        service: SERVICE.into(),
        target: instance,
    };
    let present = desk.leg.application_status(&status).await.unwrap();
    assert_eq!(present, ApplicationStatus::Present { life_cycle: 0x07 });
    let absent = StatusRequest { target: aid("A0000000990001"), ..status };
    assert_eq!(desk.leg.application_status(&absent).await.unwrap(), ApplicationStatus::Absent);

    let counts = desk.tsm.with_se(ONE, |se| se.counts()).unwrap();
    assert_eq!((counts.key_write, counts.destroy), (0, 0));
    assert_eq!(desk.tsm.stats(), TsmStats::default());
}

#[tokio::test]
async fn where_content_is_ours_the_carrier_refuses_to_manage_it() {
    let desk = Desk::open(Mode::Authorised, false).await;
    let request = SimpleRequest {
        call: CallId::fresh(),
        se: SeId::iccid(ONE).unwrap(),
        service: SERVICE.into(),
        command: SimpleCommand::Extradite {
            applet: aid("D392F0002601000101"),
            security_domain: security_domain(),
        },
    };
    let refused = desk.leg.simple(&request).await.unwrap_err();
    assert_eq!(refused.retry(), Retry::No);
}

#[test]
fn blocks_of_a_load_file_fit_the_sessions() {
    let blocks: Vec<CommandApdu> = load::blocks(&[0; 1_000], BLOCK_MAX).unwrap();
    assert!(blocks.iter().all(|block| block.data().len() <= usize::from(BLOCK_MAX)));
}
