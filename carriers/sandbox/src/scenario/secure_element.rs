//! SEs that are not what the record says: another one, one that shares its key set, one that speaks less than it should.

use super::{Ending, Expected};
use crate::{
    document::{Document, OrderLine},
    error::SandboxError,
    fleet::CARRIER_A,
    journey::Journey,
    platform::Platform,
    progress::Progress,
    tsm::Fault,
};

/// A weaker parameter i of the same answer length: pseudo-random challenges, no R-MAC (AmdD Table 5-1).
const WEAKER_I: u8 = 0x10;

/// Between authorization and opening, the carrier reaches another SE.
pub(super) async fn swapped(
    platform: &Platform,
    progress: &Progress,
) -> Result<Ending, SandboxError> {
    let (_, other) = super::two_of(platform, CARRIER_A)?;
    under(platform, progress, Fault::SwapSe { with: other.iccid }, "S01").await
}

/// The SE's answers to INITIALIZE UPDATE carry a weaker i.
pub(super) async fn downgraded(
    platform: &Platform,
    progress: &Progress,
) -> Result<Ending, SandboxError> {
    under(platform, progress, Fault::RewriteI { i: WEAKER_I }, "S03").await
}

/// An order for the second of two SEs with one key set.
pub(super) async fn shared_key_set(
    platform: &Platform,
    progress: &Progress,
) -> Result<Ending, SandboxError> {
    let mut document = Document::default();
    let (_, second) = super::two_of(platform, CARRIER_A)?;
    let code = platform.refused_hand_overs.get(&second.iccid).cloned();
    progress.step(&format!("the hand-over of {} was answered {code:?}", second.iccid));
    // Nothing may come of an order for it either.
    match Journey::begin(platform, progress, &second).await {
        Ok(journey) => {
            journey.settled().await?;
            document.orders.push(OrderLine::from(journey.order().await?));
        }
        Err(SandboxError::Call(refused)) if refused.code().is_some() => {}
        Err(error) => return Err(error),
    }
    let expected = Expected::NoAttempt { code: "S02", parked: false, except: Vec::new() };
    Ok(Ending { document, code, expected })
}

async fn under(
    platform: &Platform,
    progress: &Progress,
    fault: Fault,
    code: &'static str,
) -> Result<Ending, SandboxError> {
    let (subject, _) = super::two_of(platform, CARRIER_A)?;
    let journey = Journey::begin(platform, progress, &subject).await?;
    journey.prepared().await?;
    progress.step(&format!("{}: {fault:?}", subject.iccid));
    platform.tsm(&subject.carrier)?.arm(&subject.iccid, fault);
    let (order, _) = journey.authorized_and_settled(&platform.counter).await?;
    let ended_with = order.code.clone();
    let document = Document { orders: vec![OrderLine::from(order)], ..Document::default() };
    let expected = Expected::NoAttempt { code, parked: true, except: Vec::new() };
    Ok(Ending { document, code: ended_with, expected })
}
