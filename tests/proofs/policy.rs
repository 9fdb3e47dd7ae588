//! What policy decides at the counter, against the real node: who may know the key set, how often an access code may be wrong, and that
//! one token authorizes once.

use sandbox::{
    client::CallError,
    config::KnownTo,
    fleet::Subscriber,
    journey::{Journey, Signed, Visit},
    platform::{Platform, PlatformOptions},
    progress::Progress,
    tsm::Fault,
};
use tests::{holds_any, madoguchi, secrets};

async fn platform(directory: &tempfile::TempDir, known_to: KnownTo) -> Platform {
    let options = PlatformOptions {
        directory: directory.path().to_owned(),
        executable: madoguchi(),
        subscribers_per_base: 1,
        ses_in_files: true,
        known_to,
        shared_key_set: false,
    };
    Platform::start(&options, &Progress::silent()).await.expect("the desk stands")
}

/// An order from its submission to the token the counter signed for it, not yet presented.
async fn at_the_counter<'a>(
    platform: &'a Platform,
    progress: &'a Progress,
    subscriber: &Subscriber,
) -> (Journey<'a>, Visit, Signed) {
    let journey = Journey::begin(platform, progress, subscriber).await.expect("ordered");
    journey.prepared().await.expect("prepared");
    let visit = journey.open(&platform.counter).await.expect("opened");
    let signed = journey.sign(&platform.counter, &visit, None).expect("signed");
    (journey, visit, signed)
}

fn code(outcome: Result<(), CallError>) -> String {
    match outcome {
        Ok(()) => "accepted".into(),
        Err(error) => error.code().unwrap_or("no answer").to_owned(),
    }
}

/// Key-writing and destroying APDUs any SE received.
fn touched(platform: &Platform) -> u64 {
    let ledgers = platform.ledgers().expect("ledgers");
    ledgers.values().map(|ledger| ledger.key_write + ledger.destroy).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_key_is_not_written_where_the_carrier_may_know_the_key_set() {
    let directory = tempfile::tempdir().expect("a folder");
    let platform = platform(&directory, KnownTo::CustodyOnly).await;
    let progress = Progress::silent();
    let (journey, _, signed) = at_the_counter(&platform, &progress, &platform.subscribers[0]).await;
    assert_eq!(code(journey.authorize(&platform.counter, &signed).await), "T13");
    let order = journey.order().await.expect("the order");
    assert_eq!((order.state.as_str(), order.code.as_deref()), ("AwaitingCounter", Some("T13")));
    assert_eq!(touched(&platform), 0, "no key was written");
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_wrong_access_codes_spend_the_token() {
    let directory = tempfile::tempdir().expect("a folder");
    let platform = platform(&directory, KnownTo::Carrier).await;
    let progress = Progress::silent();
    let (journey, visit, signed) =
        at_the_counter(&platform, &progress, &platform.subscribers[0]).await;
    let wrong = Signed { token: signed.token.clone(), access_code: "not the code".into() };
    for _ in 0..3 {
        assert_eq!(code(journey.authorize(&platform.counter, &wrong).await), "T12");
    }
    let right = code(journey.authorize(&platform.counter, &signed).await);
    assert!(right == "T09" || right == "T12", "the right code comes too late: {right}");
    assert_eq!(touched(&platform), 0);
    // A new token for the same order is a new chance: nobody has to come back.
    let signed = journey.sign(&platform.counter, &visit, None).expect("signed again");
    assert_eq!(code(journey.authorize(&platform.counter, &signed).await), "accepted");
    assert_eq!(journey.settled().await.expect("settled").state, "Confirmed");
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offers_of_one_token_at_the_same_moment_authorize_once() {
    let directory = tempfile::tempdir().expect("a folder");
    let platform = platform(&directory, KnownTo::Carrier).await;
    let progress = Progress::silent();
    let (journey, _, signed) = at_the_counter(&platform, &progress, &platform.subscribers[0]).await;
    let offer = || journey.authorize(&platform.counter, &signed);
    let outcomes = tokio::join!(offer(), offer(), offer(), offer());
    for outcome in [outcomes.0, outcomes.1, outcomes.2, outcomes.3] {
        let code = code(outcome);
        // The same token for the same order is answered again, or was a moment too late.
        assert!(["accepted", "T09", "illegal_state"].contains(&code.as_str()), "{code}");
    }
    let order = journey.settled().await.expect("settled");
    assert_eq!(order.state, "Confirmed");
    assert!(order.writes.iter().all(|write| write.attempts == 1), "each key write was sent once");
    assert!(platform.tsm_counts().values().all(|counts| counts.duplicates == 0));
    platform.stop().await;
}

/// A swapped SIM costs nobody a second visit: the authorization is kept until the SE on record is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_parked_order_goes_on_with_the_authorization_it_has() {
    let directory = tempfile::tempdir().expect("a folder");
    let platform = platform(&directory, KnownTo::Carrier).await;
    let progress = Progress::silent();
    let one = |tenant: &str| {
        platform.subscribers.iter().find(|it| it.tenant == tenant).expect("one").clone()
    };
    // The MVNO's SEs are on carrier A's platform.
    let (subscriber, other) = (one("carrier-a"), one("mvno"));
    let (journey, _, signed) = at_the_counter(&platform, &progress, &subscriber).await;
    let tsm = platform.tsm("carrier-a").expect("the TSM");
    tsm.arm(&subscriber.iccid, Fault::SwapSe { with: other.iccid });
    assert_eq!(code(journey.authorize(&platform.counter, &signed).await), "accepted");
    let parked = journey.settled().await.expect("settled");
    assert_eq!((parked.state.as_str(), parked.code.as_deref()), ("Parked", Some("S01")));
    assert_eq!(touched(&platform), 0);

    tsm.clear(&subscriber.iccid);
    let resumed = platform.issuer.resume(&parked.id).await.expect("resumed");
    assert_ne!(resumed.state, "Parked");
    let order = journey.settled().await.expect("settled");
    assert_eq!(order.state, "Confirmed");
    platform.stop().await;
}

/// What the gateway shows to those who may ask: refusals, metrics, the audit trail, with keys of every kind in the run.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_an_error_body_or_a_metric() {
    let directory = tempfile::tempdir().expect("a folder");
    let platform = platform(&directory, KnownTo::Carrier).await;
    let progress = Progress::silent();
    let (journey, _, signed) = at_the_counter(&platform, &progress, &platform.subscribers[0]).await;
    let wrong = Signed { token: signed.token.clone(), access_code: "not the code".into() };
    let mut shown = Vec::new();
    for offer in [&wrong, &signed, &signed] {
        shown.push(format!("{:?}", journey.authorize(&platform.counter, offer).await));
    }
    assert!(shown[0].contains("T12"), "{}", shown[0]);
    assert_eq!(journey.settled().await.expect("settled").state, "Confirmed");
    for path in ["/metrics", "/v1/audit?limit=1000", "/v1/orders", "/v1/nothing", "/v1/key-sets"] {
        shown.push(platform.shown(path).await.expect("an answer"));
    }
    assert!(
        shown.iter().any(|text| text.contains("madoguchi_requests_total")),
        "metrics are among them"
    );
    let canaries = secrets(&directory.path().join("se"));
    assert!(canaries.len() > 6, "ISD keys, our keys and the delivered key");
    for text in &shown {
        assert!(!holds_any(text.as_bytes(), &canaries), "a secret is shown: {text}");
    }
    platform.stop().await;
}
