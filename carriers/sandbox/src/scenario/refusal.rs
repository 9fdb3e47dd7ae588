//! Tokens and presentations that are refused, each with its code.

use super::{Ending, Expected};
use crate::{
    counter::Counter,
    document::{Document, OrderLine},
    error::SandboxError,
    fleet::{CARRIER_A, Subscriber},
    journey::{Journey, Signed},
    platform::Platform,
    progress::Progress,
    token::Defect,
};

/// What is wrong with a token or its presentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenFault {
    NoToken,
    Expired,
    Replayed,
    StaleSequence,
    WrongSe,
    WrongApplet,
    WrongKvn,
    WrongAudience,
    ForeignKey,
    AlgNone,
    UnknownCrit,
    WrongClientCertificate,
    RevokedTerminal,
    WrongAccessCode,
}

impl TokenFault {
    /// The code it is refused with.
    fn code(self) -> &'static str {
        match self {
            TokenFault::NoToken => "T00",
            TokenFault::AlgNone | TokenFault::UnknownCrit => "T02",
            TokenFault::ForeignKey => "T03",
            TokenFault::WrongAudience => "T05",
            TokenFault::Expired => "T06",
            TokenFault::WrongClientCertificate => "T07",
            TokenFault::RevokedTerminal => "T08",
            TokenFault::Replayed => "T09",
            TokenFault::StaleSequence => "T10",
            TokenFault::WrongSe | TokenFault::WrongApplet | TokenFault::WrongKvn => "T11",
            TokenFault::WrongAccessCode => "T12",
        }
    }

    /// How the token itself differs from a sound one.
    fn defect(self, other: &Subscriber) -> Option<Defect> {
        match self {
            TokenFault::Expired => Some(Defect::Expired),
            TokenFault::WrongSe => Some(Defect::OtherSe { iccid: other.iccid.clone() }),
            TokenFault::WrongApplet => Some(Defect::OtherApplet),
            TokenFault::WrongKvn => Some(Defect::OtherKeyVersionNumber),
            TokenFault::WrongAudience => Some(Defect::Audience),
            TokenFault::ForeignKey => Some(Defect::ForeignKey),
            TokenFault::AlgNone => Some(Defect::AlgNone),
            TokenFault::UnknownCrit => Some(Defect::UnknownCrit),
            TokenFault::NoToken
            | TokenFault::Replayed
            | TokenFault::StaleSequence
            | TokenFault::WrongClientCertificate
            | TokenFault::RevokedTerminal
            | TokenFault::WrongAccessCode => None,
        }
    }

    /// Whether another order must have been Confirmed with a token first.
    fn needs_earlier_order(self) -> bool {
        matches!(self, TokenFault::Replayed | TokenFault::StaleSequence)
    }
}

pub(super) async fn run(
    fault: TokenFault,
    platform: &Platform,
    progress: &Progress,
) -> Result<Ending, SandboxError> {
    let mut document = Document::default();
    let (subject, other) = super::two_of(platform, CARRIER_A)?;
    let mut except = Vec::new();
    let mut earlier = None;
    if fault.needs_earlier_order() {
        let journey = Journey::begin(platform, progress, &other).await?;
        journey.prepared().await?;
        let (order, signed) = journey.authorized_and_settled(&platform.counter).await?;
        document.proof.push(journey.proved(&order, &signed).await?);
        document.orders.push(OrderLine::from(order));
        except.push(other.iccid.clone());
        earlier = Some((signed, platform.counter.last_seq()));
    }
    let journey = Journey::begin(platform, progress, &subject).await?;
    journey.prepared().await?;
    let code = presented(fault, &journey, platform, &other, earlier).await?;
    progress.step(&format!("the gateway answers {code:?}"));
    document.orders.push(OrderLine::from(journey.order().await?));
    let expected = Expected::NoAttempt { code: fault.code(), parked: false, except };
    Ok(Ending { document, code, expected })
}

/// Opens the visit and presents what the fault makes of a token; returns the code of the refusal.
async fn presented(
    fault: TokenFault,
    journey: &Journey<'_>,
    platform: &Platform,
    other: &Subscriber,
    earlier: Option<(Signed, u64)>,
) -> Result<Option<String>, SandboxError> {
    let (opens, presents): (&Counter, &Counter) = match fault {
        TokenFault::RevokedTerminal => (&platform.revoked_counter, &platform.revoked_counter),
        TokenFault::WrongClientCertificate => (&platform.counter, &platform.other_counter),
        _ => (&platform.counter, &platform.counter),
    };
    // A withdrawn terminal may already be refused here.
    let visit = match journey.open(opens).await {
        Ok(visit) => visit,
        Err(SandboxError::Call(refused)) => return Ok(refused.code().map(str::to_owned)),
        Err(error) => return Err(error),
    };
    let outcome = match (fault, earlier) {
        (TokenFault::NoToken, _) => {
            presents.authorize(&journey.placed.id, None, None).await.map(drop)
        }
        (TokenFault::Replayed, Some((signed, _))) => journey.authorize(presents, &signed).await,
        (TokenFault::StaleSequence, Some((_, seq))) => {
            let token = opens.sign_with_seq(&visit.opened, &visit.access_code, None, seq)?;
            let signed = Signed { token, access_code: visit.access_code };
            journey.authorize(presents, &signed).await
        }
        (fault, _) => {
            let mut signed = journey.sign(opens, &visit, fault.defect(other))?;
            if fault == TokenFault::WrongAccessCode {
                signed.access_code = another_code(&signed.access_code);
            }
            journey.authorize(presents, &signed).await
        }
    };
    match outcome {
        Ok(()) => Ok(None),
        Err(refused) => match refused.code() {
            Some(code) => Ok(Some(code.to_owned())),
            None => Err(refused.into()),
        },
    }
}

/// The same code with its first digit changed.
fn another_code(code: &str) -> String {
    let first = if code.starts_with('1') { '2' } else { '1' };
    code.chars().take(1).map(|_| first).chain(code.chars().skip(1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_code_has_the_same_length_and_differs() {
        for code in ["123456", "923456"] {
            assert_ne!(another_code(code), code);
            assert_eq!(another_code(code).len(), code.len());
        }
    }
}
