//! Carriers that lose or forge answers, and a gateway that dies at the worst moment: every verdict must be true all the same.

use std::sync::Arc;

use tokio::{
    sync::Notify,
    time::{Duration, timeout},
};

use super::{Ending, Expected};
use crate::{
    document::{Document, OrderLine},
    error::SandboxError,
    fleet::{CARRIER_A, CARRIER_B, Subscriber},
    journey::Journey,
    platform::Platform,
    progress::Progress,
    tsm::{Fault, On, Script},
};

/// Longest wait until the SE has executed the script whose answer is held back.
const HELD_TIMEOUT: Duration = Duration::from_secs(60);
/// A refusal SEs do give to PUT KEY and STORE DATA: wrong data (CS 2.3.1 §11.1.3).
const WRONG_DATA: u16 = 0x6A80;

/// What a carrier does to the answers of key writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CarrierFault {
    /// The answer to PUT KEY is lost, once after the SE applied it, once before it could.
    LostAnswer,
    /// The same for the personalization.
    LostPersonalization,
    /// Nothing is executed and 9000 is answered, bare or with what PUT KEY would answer.
    ForgedSuccess,
    /// A refusal is answered, whether the SE applied the script or not.
    ForgedRefusal,
}

impl CarrierFault {
    /// The faults of one run, the first for the first SE and so on.
    fn faults(self) -> Vec<Fault> {
        let put_key = On::next(Script::PutKey);
        let store_data = On::next(Script::StoreData);
        match self {
            CarrierFault::LostAnswer => vec![
                Fault::LoseAnswer { on: put_key, applied: true },
                Fault::LoseAnswer { on: put_key, applied: false },
            ],
            CarrierFault::LostPersonalization => vec![
                Fault::LoseAnswer { on: store_data, applied: true },
                Fault::LoseAnswer { on: store_data, applied: false },
            ],
            CarrierFault::ForgedSuccess => vec![
                Fault::ForgeSuccess { on: put_key, data: Vec::new() },
                Fault::ForgeSuccess { on: put_key, data: put_key_answer() },
                Fault::ForgeSuccess { on: store_data, data: Vec::new() },
            ],
            CarrierFault::ForgedRefusal => vec![
                Fault::ForgeRefusal { on: put_key, status: WRONG_DATA, applied: true },
                Fault::ForgeRefusal { on: put_key, status: WRONG_DATA, applied: false },
                Fault::ForgeRefusal { on: store_data, status: WRONG_DATA, applied: true },
                Fault::ForgeRefusal { on: store_data, status: WRONG_DATA, applied: false },
            ],
        }
    }
}

/// The look of an answer to PUT KEY: a Key Version Number and three Key Check Values (CS 2.3.1 §11.8.3.1).
fn put_key_answer() -> Vec<u8> {
    let mut answer = vec![0x31];
    answer.extend(crate::random::bytes::<9>());
    answer
}

/// Each fault strikes an SE of its own, on both carriers' platforms in turn.
pub(super) async fn run(
    fault: CarrierFault,
    platform: &Platform,
    progress: &Progress,
) -> Result<Ending, SandboxError> {
    let mut document = Document::default();
    let mut doubted = Vec::new();
    for (fault, subscriber) in fault.faults().into_iter().zip(alternating(platform)) {
        progress.step(&format!("{}: armed with {fault:?}", subscriber.iccid));
        platform.tsm(&subscriber.carrier)?.arm(&subscriber.iccid, fault);
        let journey = Journey::begin(platform, progress, &subscriber).await?;
        journey.prepared().await?;
        let (order, signed) = journey.authorized_and_settled(&platform.counter).await?;
        if order.state == "Confirmed" {
            document.proof.push(journey.proved(&order, &signed).await?);
        }
        document.orders.push(OrderLine::from(order));
        doubted.push(subscriber.iccid);
    }
    Ok(Ending { document, code: None, expected: Expected::TrueVerdicts { doubted } })
}

/// The gateway is killed once the SE has executed what was `Sent` and before any answer, then started again.
pub(super) async fn restart(
    platform: &mut Platform,
    progress: &Progress,
) -> Result<Ending, SandboxError> {
    let (subject, _) = super::two_of(platform, CARRIER_A)?;
    let reached = Arc::new(Notify::new());
    let fault = Fault::HoldAnswer { on: On::next(Script::KeyWrite), reached: Arc::clone(&reached) };
    platform.tsm(&subject.carrier)?.arm(&subject.iccid, fault);
    let (id, placed, signed) = {
        let journey = Journey::begin(platform, progress, &subject).await?;
        journey.prepared().await?;
        let visit = journey.open(&platform.counter).await?;
        let signed = journey.sign(&platform.counter, &visit, None)?;
        journey.authorize(&platform.counter, &signed).await?;
        timeout(HELD_TIMEOUT, reached.notified()).await.map_err(|_| SandboxError::Deadline {
            what: format!("a key write on {}", subject.iccid),
            waited_s: HELD_TIMEOUT.as_secs(),
            last: "nothing".to_owned(),
        })?;
        (journey.caller_id, journey.placed, signed)
    };
    progress.step("the SE has executed the script; the gateway is killed before it can learn that");
    platform.gateway.kill().await?;
    platform.gateway.restart().await?;
    progress.step("the gateway runs again on the same store");
    let journey = Journey::resume(platform, progress, &subject, id, placed);
    let order = journey.settled().await?;
    let mut document = Document::default();
    if order.state == "Confirmed" {
        document.proof.push(journey.proved(&order, &signed).await?);
    }
    document.orders.push(OrderLine::from(order));
    let expected = Expected::TrueVerdicts { doubted: vec![subject.iccid] };
    Ok(Ending { document, code: None, expected })
}

/// Subscribers of carrier A and carrier B by turns: both ways of preparing an SE meet every fault.
fn alternating(platform: &Platform) -> impl Iterator<Item = Subscriber> {
    let of = |carrier: &'static str| {
        platform.subscribers.iter().filter(move |subscriber| subscriber.tenant == carrier)
    };
    of(CARRIER_A).zip(of(CARRIER_B)).flat_map(|(a, b)| [a.clone(), b.clone()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_enough_ses_for_every_fault() {
        let all = [
            CarrierFault::LostAnswer,
            CarrierFault::LostPersonalization,
            CarrierFault::ForgedSuccess,
            CarrierFault::ForgedRefusal,
        ];
        for fault in all {
            assert!((2..=4).contains(&fault.faults().len()));
        }
        assert_eq!(put_key_answer().len(), 10);
    }
}
