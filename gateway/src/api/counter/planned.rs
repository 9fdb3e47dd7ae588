//! What an order would write if it were authorized now, and the words of it a counter signs.

use authority::AuthorizationDetails;

use crate::{
    app::App,
    code::Word,
    engine::{plan, setback::Setback},
    server::problem::Problem,
    store::{OrderRecord, SeRecord},
};

/// The plan for an order, made from its SE, route, profile and service as they are now.
pub(super) struct Planned {
    pub(super) plan: plan::IssuePlan,
    security_domain: scp::Aid,
    profile: scp::SeProfile,
    service: scp::ServiceProfile,
    carrier: String,
    se: SeRecord,
}

impl Planned {
    /// Plans an order.
    ///
    /// # Errors
    /// [`Word::IllegalState`] saying what the order lacks.
    pub(super) async fn of(app: &App, order: &OrderRecord) -> Result<Planned, Problem> {
        let not_yet = |what: &str| {
            let detail = format!("the order is {}: {what}", order.state.word());
            Problem::new(Word::IllegalState, detail).enquiry(&order.enquiry_id)
        };
        let security_domain =
            order.security_domain.ok_or_else(|| not_yet("it has no route yet"))?;
        let carrier = order.carrier.clone().ok_or_else(|| not_yet("it has no route yet"))?;
        let profile = order.profile.as_deref().and_then(|name| app.settings.se_profile(name));
        let profile =
            profile.cloned().ok_or_else(|| not_yet("its SE profile is not configured"))?;
        let service =
            app.settings.services.iter().find(|service| service.profile.name == order.service);
        let service =
            service.ok_or_else(|| not_yet("its service is not configured"))?.profile.clone();
        let se = app.store.se(&order.tenant, &order.se).await?;
        let se = se.ok_or_else(|| not_yet("its SE is not on record yet"))?;
        let known = app.custody.key_sets_of(&order.se, &security_domain).await?;
        let had: Vec<_> = known.into_iter().map(|row| row.kvn).collect();
        let attempts_max = app.settings.engine.attempts_max;
        let plan = plan::issue(&se, &had, security_domain, &profile, &service, attempts_max)
            .map_err(|setback: Setback| not_yet(&setback.to_string()))?;
        Ok(Planned { plan, security_domain, profile, service, carrier, se })
    }

    /// What the counter is to sign.
    pub(super) fn details(&self, order: &OrderRecord) -> Result<AuthorizationDetails, Problem> {
        let Planned { plan, security_domain, profile, service, carrier, .. } = self;
        plan::authorization_details(order, *security_domain, plan, profile, service, carrier)
            .ok_or_else(|| {
                Problem::new(Word::BadRequest, "a counter cannot authorize this operation")
            })
    }

    /// Whether policy admits every party that may know the key set the application key would be written under. Asked before the token is
    /// consumed, so that a no does not cost a new proofing. A tenant that is no longer configured admits nobody.
    pub(super) fn policy_admits(&self, app: &App, order: &OrderRecord) -> bool {
        let domain = self.se.security_domain(&self.security_domain);
        let live = domain.and_then(|domain| domain.live.as_ref());
        let (Some(live), Some(tenant)) = (live, app.settings.tenant(&order.tenant)) else {
            return false;
        };
        live.known_to.iter().all(|party| tenant.app_key_max_known_to.contains(party))
    }
}
