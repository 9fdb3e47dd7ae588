//! Accepted → Eligible → Prepared: a route, the carrier's word, and the applet in place, read back. No key is written here.

use carriers::{CallId, EligibilityRequest, Mode, SimpleCommand, SimpleRequest, route::RouteQuery};
use order::{OrderEvent, ParkReason};
use scp::{
    Aid, CommandApdu, Script,
    content::{install, load, registry::Entry, status_data::Scope},
};
use serde_json::json;

use super::{
    finish, read,
    service::LoadedService,
    session::{Peer, Secured, Session},
    setback::Setback,
    work::Work,
};
use crate::{audit::Kind, store::OrderRecord};

/// An application that can be selected and holds nothing yet (CS 5.3.1).
const SELECTABLE: u8 = 0x07;

/// Accepted: finds the route and asks the carrier.
pub(super) async fn find_eligible(work: &mut Work) -> Result<(), Setback> {
    if let Some(code) = work.se.hand_over_refused.clone() {
        return Err(Setback::refuse(
            &code,
            "the first key set of this SE was refused at hand-over",
        ));
    }
    if let Some(why) = &work.se.quarantined {
        return Err(Setback::park(ParkReason::Quarantined, why.clone()));
    }
    route(work)?;
    // The first key set has to be on record before the citizen walks to the counter.
    work.live()?;
    let peer = work.peer()?;
    let request = EligibilityRequest {
        call: CallId::fresh(),
        se: peer.se.clone(),
        service: work.order.service.clone(),
    };
    let eligibility = peer.carrier.check_eligibility(&request).await?;
    if !eligibility.eligible {
        let detail = format!("the carrier's reasons: {:?}", eligibility.reasons);
        return Err(Setback::refuse("not_eligible", detail));
    }
    let entry = work.entry(
        Kind::Eligible,
        json!({
            "carrier": work.order.carrier,
            "profile": work.order.profile,
            "security_domain": work.order.security_domain,
        }),
    );
    work.happen(OrderEvent::FoundEligible, entry).await
}

/// Writes the route into the record in hand; it is stored with the next transition.
fn route(work: &mut Work) -> Result<(), Setback> {
    let query = RouteQuery { tenant: work.order.tenant.clone(), se: work.se_id()?, se_type: None };
    let routed = work
        .app
        .router
        .route(&query)
        .map_err(|error| Setback::refuse("no_route", error.to_string()))?;
    work.order.carrier = Some(routed.carrier);
    work.order.profile = Some(routed.profile);
    work.order.security_domain = Some(routed.security_domain);
    Ok(())
}

/// Eligible: puts the applet in place by the route's mode, then reads the registry back.
pub(super) async fn prepare(work: &mut Work) -> Result<(), Setback> {
    let peer = work.peer()?;
    let service = work.service()?;
    if find_applet(work, &peer, &service).await?.is_none() {
        match peer.carrier.mode() {
            Mode::Authorised => place_through_our_domain(work, &peer, &service).await?,
            Mode::Simple => place_through_the_carrier(work, &peer, &service).await?,
            Mode::Delegated => {
                return Err(Setback::park(
                    ParkReason::ContentInDoubt,
                    "delegated management is not supported yet",
                ));
            }
        }
    }
    let Some(instance) = find_applet(work, &peer, &service).await? else {
        return Err(Setback::wait("the applet is not in the SE's registry yet"));
    };
    if instance.life_cycle != SELECTABLE {
        return Err(Setback::park(
            ParkReason::ContentInDoubt,
            format!("an applet in life cycle {:02X} is already there", instance.life_cycle),
        ));
    }
    let entry = work.entry(
        Kind::Prepared,
        json!({ "applet": service.profile.applet, "life_cycle": format!("{:02X}", instance.life_cycle) }),
    );
    // Stored with the state, so that the record is at rest when the counter reads it.
    let due_ms = Some(finish::expires_ms(work).await?);
    let next = OrderRecord { due_ms, ..work.after(&OrderEvent::Prepared)? };
    work.store(next, vec![entry], Vec::new()).await
}

/// The applet instance in our Security Domain's registry, under R-MAC; none when it is not there.
async fn find_applet(
    work: &Work,
    peer: &Peer,
    service: &LoadedService,
) -> Result<Option<Entry>, Setback> {
    let (entries, secured) = read::registry(open(work, peer).await?, Scope::Applications).await?;
    secured.end().await;
    let ours = work.security_domain()?;
    let known = |aid: Aid| aid == ours || work.services.has_applet(aid);
    if let Some(stranger) = entries.iter().find(|entry| !known(entry.aid)) {
        // Whatever is associated with our domain can speak with its keys.
        let detail = format!("{} under our Security Domain belongs to no service", stranger.aid);
        return Err(Setback::park(ParkReason::ContentInDoubt, detail));
    }
    Ok(entries.into_iter().find(|entry| entry.aid == service.profile.applet))
}

/// LOAD unless the load file is there, then INSTALL. What an interruption left is judged by reading the registry first.
async fn place_through_our_domain(
    work: &Work,
    peer: &Peer,
    service: &LoadedService,
) -> Result<(), Setback> {
    let profile = &service.profile;
    let (entries, secured) = read::registry(open(work, peer).await?, Scope::LoadFiles).await?;
    let mut commands = Vec::new();
    if !entries.iter().any(|entry| entry.aid == profile.load_file) {
        commands.push(built(install::for_load(
            profile.load_file,
            Some(work.security_domain()?),
            None,
            &[],
        ))?);
        commands
            .extend(built(load::blocks(&service.load_file_data_block, peer.profile.block_max))?);
    }
    commands.push(built(install::for_install_and_make_selectable(
        profile.load_file,
        profile.module,
        profile.applet,
        &profile.privileges,
        &profile.install_parameters,
    ))?);
    run_all(secured, commands).await
}

/// The carrier loads, installs and extradites. A step whose answer was lost may be there already: the registry decides afterwards.
async fn place_through_the_carrier(
    work: &Work,
    peer: &Peer,
    service: &LoadedService,
) -> Result<(), Setback> {
    let profile = &service.profile;
    let commands = [
        SimpleCommand::LoadElf {
            load_file: profile.load_file,
            security_domain: None,
            data: service.load_file_data_block.clone(),
        },
        SimpleCommand::InstantiateApplication {
            load_file: profile.load_file,
            module: profile.module,
            instance: profile.applet,
            privileges: profile.privileges.clone(),
            parameters: profile.install_parameters.clone(),
        },
        SimpleCommand::Extradite {
            applet: profile.applet,
            security_domain: work.security_domain()?,
        },
    ];
    for command in commands {
        let request = SimpleRequest {
            call: CallId::fresh(),
            se: peer.se.clone(),
            service: work.order.service.clone(),
            command,
        };
        if let Err(error) = peer.carrier.simple(&request).await {
            if !matches!(error, carriers::CarrierError::Refused { .. }) {
                return Err(error.into());
            }
            tracing::info!(%error, enquiry = work.order.enquiry_id, "the carrier refused a content step; the registry decides");
        }
    }
    Ok(())
}

async fn open<'a>(work: &Work, peer: &'a Peer) -> Result<Secured<'a>, Setback> {
    let target: Aid = work.security_domain()?;
    let live = work.live()?;
    let session = Session::begin(&work.app, peer, target).await?;
    session.secure(target, live.kvn, live.key_set).await
}

async fn run_all(secured: Secured<'_>, commands: Vec<CommandApdu>) -> Result<(), Setback> {
    let count = commands.len();
    let (answers, rest) = secured.run(built(Script::new(commands))?).await?;
    if let Some(secured) = rest {
        secured.end().await;
    }
    match answers.iter().position(|answered| !answered.status().is_success()) {
        Some(index) => Err(Setback::wait(format!(
            "content command {} of {count} was answered {}",
            index + 1,
            answers[index].status()
        ))),
        None if answers.len() < count => Err(Setback::wait(format!(
            "{} of {count} content commands were answered",
            answers.len()
        ))),
        None => Ok(()),
    }
}

fn built<T>(result: Result<T, scp::ApiMisuse>) -> Result<T, Setback> {
    result.map_err(|error| Setback::park(ParkReason::ContentInDoubt, error.to_string()))
}
