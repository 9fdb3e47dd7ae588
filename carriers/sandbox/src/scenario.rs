//! What must go wrong in just one way: scenarios that end with their code and without a key write, and scenarios in which a carrier
//! lies or the gateway dies and every verdict is true all the same.

mod carrier;
mod check;
mod refusal;
mod secure_element;

use crate::{
    document::{Document, ScenarioEnd},
    error::SandboxError,
    fleet::Subscriber,
    once,
    platform::Platform,
    progress::Progress,
};

pub(crate) use carrier::CarrierFault;
pub(crate) use refusal::TokenFault;

/// Every scenario.
pub const NAMES: [&str; 22] = [
    "no-token",
    "expired-token",
    "replayed-token",
    "stale-sequence",
    "wrong-se",
    "wrong-applet",
    "wrong-kvn",
    "wrong-audience",
    "foreign-key",
    "alg-none",
    "unknown-crit",
    "wrong-client-certificate",
    "revoked-terminal",
    "wrong-access-code",
    "swapped-sim",
    "shared-key-set",
    "downgraded-i",
    "lost-answer",
    "lost-personalization",
    "forged-success",
    "forged-refusal",
    "restart",
];

/// A scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// A token, or its presentation, is wrong.
    Token(TokenFault),
    /// The carrier reaches another SE than the one on record.
    SwappedSim,
    /// The carrier gave two SEs one first key set.
    SharedKeySet,
    /// The SE answers another SCP03 parameter i than its profile has.
    DowngradedI,
    /// The carrier loses or forges answers.
    Carrier(CarrierFault),
    /// The gateway dies between `Sent` and the answer.
    Restart,
}

/// The scenario of a name.
///
/// # Errors
/// [`SandboxError::UnknownScenario`].
pub(crate) fn named(name: &str) -> Result<Scenario, SandboxError> {
    Ok(match name {
        "no-token" => Scenario::Token(TokenFault::NoToken),
        "expired-token" => Scenario::Token(TokenFault::Expired),
        "replayed-token" => Scenario::Token(TokenFault::Replayed),
        "stale-sequence" => Scenario::Token(TokenFault::StaleSequence),
        "wrong-se" => Scenario::Token(TokenFault::WrongSe),
        "wrong-applet" => Scenario::Token(TokenFault::WrongApplet),
        "wrong-kvn" => Scenario::Token(TokenFault::WrongKvn),
        "wrong-audience" => Scenario::Token(TokenFault::WrongAudience),
        "foreign-key" => Scenario::Token(TokenFault::ForeignKey),
        "alg-none" => Scenario::Token(TokenFault::AlgNone),
        "unknown-crit" => Scenario::Token(TokenFault::UnknownCrit),
        "wrong-client-certificate" => Scenario::Token(TokenFault::WrongClientCertificate),
        "revoked-terminal" => Scenario::Token(TokenFault::RevokedTerminal),
        "wrong-access-code" => Scenario::Token(TokenFault::WrongAccessCode),
        "swapped-sim" => Scenario::SwappedSim,
        "shared-key-set" => Scenario::SharedKeySet,
        "downgraded-i" => Scenario::DowngradedI,
        "lost-answer" => Scenario::Carrier(CarrierFault::LostAnswer),
        "lost-personalization" => Scenario::Carrier(CarrierFault::LostPersonalization),
        "forged-success" => Scenario::Carrier(CarrierFault::ForgedSuccess),
        "forged-refusal" => Scenario::Carrier(CarrierFault::ForgedRefusal),
        "restart" => Scenario::Restart,
        _ => return Err(SandboxError::UnknownScenario { name: name.to_owned() }),
    })
}

/// What a scenario leaves for judgement.
#[derive(Debug)]
pub(crate) struct Ending {
    /// Orders and proofs so far.
    document: Document,
    /// The code it ended with.
    code: Option<String>,
    /// What it was to end like.
    expected: Expected,
}

/// How a scenario is to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expected {
    /// With this code and no attempt at any key write, on any SE but those excepted.
    NoAttempt {
        /// The code.
        code: &'static str,
        /// Whether the last order is to be Parked.
        parked: bool,
        /// ICCIDs of orders the scenario first brought to Confirmed.
        except: Vec<String>,
    },
    /// Every order Confirmed, every verdict true of its SE, and on each of these SEs there was a doubt to resolve: without one the
    /// fault never struck and nothing was shown.
    TrueVerdicts {
        /// ICCIDs.
        doubted: Vec<String>,
    },
}

/// Runs a scenario on a platform with two SEs in each subscriber base, and judges it.
///
/// # Errors
/// [`SandboxError`] if it came to no end.
pub(crate) async fn run(
    name: &str,
    scenario: Scenario,
    platform: &mut Platform,
    progress: &Progress,
) -> Result<Document, SandboxError> {
    let Ending { mut document, code, expected } = match scenario {
        Scenario::Token(fault) => refusal::run(fault, platform, progress).await?,
        Scenario::SwappedSim => secure_element::swapped(platform, progress).await?,
        Scenario::SharedKeySet => secure_element::shared_key_set(platform, progress).await?,
        Scenario::DowngradedI => secure_element::downgraded(platform, progress).await?,
        Scenario::Carrier(fault) => carrier::run(fault, platform, progress).await?,
        Scenario::Restart => carrier::restart(platform, progress).await?,
    };
    once::complete(&mut document, platform).await?;
    let seen = check::Seen {
        scripts: check::key_write_scripts(platform)?,
        doubted: platform.doubted_ses().await?,
    };
    let faults = check::faults(&document, code.as_deref(), &expected, &seen);
    let ok = faults.is_empty();
    document.scenario = Some(ScenarioEnd { name: name.to_owned(), code, ok, faults });
    Ok(document)
}

/// The first two subscribers on a carrier's platform that are the carrier's own.
fn two_of(platform: &Platform, carrier: &str) -> Result<(Subscriber, Subscriber), SandboxError> {
    let mut own = platform.subscribers.iter().filter(|subscriber| subscriber.tenant == carrier);
    match (own.next(), own.next()) {
        (Some(first), Some(second)) => Ok((first.clone(), second.clone())),
        (_, _) => Err(SandboxError::Platform {
            carrier: carrier.to_owned(),
            reason: "a scenario needs two SEs".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_name_is_one_scenario() {
        let scenarios: Vec<Scenario> = NAMES.iter().map(|name| named(name).unwrap()).collect();
        let distinct: HashSet<String> = scenarios.iter().map(|it| format!("{it:?}")).collect();
        assert_eq!(distinct.len(), NAMES.len());
        assert!(named("").is_err());
    }
}
