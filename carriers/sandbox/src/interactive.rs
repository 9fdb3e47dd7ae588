//! `sandbox`: the same platform left running, with one order of each subscriber base waiting for its counter visit.

use std::path::PathBuf;

use serde::Serialize;

use crate::{
    config::KnownTo,
    error::SandboxError,
    fleet::BASES,
    journey::Journey,
    once::Workplace,
    platform::{Platform, PlatformOptions},
    progress::Progress,
};

/// How to run it.
#[derive(Debug)]
pub struct InteractiveOptions {
    /// Leave everything in this directory; it must be empty or absent. Otherwise nothing is left.
    pub keep: Option<PathBuf>,
    /// The program that has `serve`.
    pub executable: PathBuf,
    /// Where progress goes.
    pub progress: Progress,
}

/// What to tell whoever started it, once everything runs.
#[derive(Debug, Clone, Serialize)]
pub struct Announcement {
    /// Where the gateway listens.
    pub gateway: String,
    /// Where certificates, tokens and logs are.
    pub directory: PathBuf,
    /// Orders that wait for their counter visit.
    pub orders: Vec<WaitingOrder>,
    /// Commands to try next, in order.
    pub next: Vec<String>,
}

/// An order that waits for its counter visit.
#[derive(Debug, Clone, Serialize)]
pub struct WaitingOrder {
    /// The gateway's id.
    pub id: String,
    /// The subscriber base.
    pub tenant: String,
    /// ICCID.
    pub se: String,
}

/// Runs the platform until the process is asked to end (SIGINT); `announce` is called once everything runs.
///
/// # Errors
/// [`SandboxError`] by what could not be started.
pub async fn serve_interactive(
    options: InteractiveOptions,
    announce: impl FnOnce(&Announcement),
) -> Result<(), SandboxError> {
    let workplace = Workplace::prepare(options.keep)?;
    let platform_options = PlatformOptions {
        directory: workplace.path().to_owned(),
        executable: options.executable,
        subscribers_per_base: 2,
        ses_in_files: true,
        known_to: KnownTo::Carrier,
        shared_key_set: false,
    };
    let platform = Platform::start(&platform_options, &options.progress).await?;
    let mut orders = Vec::new();
    for base in BASES {
        let Some(subscriber) = platform.subscribers.iter().find(|it| it.tenant == base.tenant)
        else {
            continue;
        };
        let journey = Journey::begin(&platform, &options.progress, subscriber).await?;
        journey.prepared().await?;
        let (tenant, se) = (subscriber.tenant.clone(), subscriber.iccid.clone());
        orders.push(WaitingOrder { id: journey.placed.id, tenant, se });
    }
    let announcement = Announcement {
        gateway: platform.gateway.base_url(),
        next: next_commands(&platform, &orders),
        directory: platform.directory.clone(),
        orders,
    };
    announce(&announcement);
    // An error means that no signal can be waited for; then there is nothing to wait for.
    drop(tokio::signal::ctrl_c().await);
    options.progress.step("ending");
    platform.stop().await;
    Ok(())
}

/// One visit by hand: open, sign, authorize, look.
fn next_commands(platform: &Platform, orders: &[WaitingOrder]) -> Vec<String> {
    let Some(WaitingOrder { id, se, .. }) = orders.first() else { return Vec::new() };
    let (directory, url) = (platform.directory.display(), platform.gateway.base_url());
    let party =
        |name: &str| format!("--cert {directory}/pki/{name}.pem --key {directory}/pki/{name}.key");
    let counter = format!("curl -s --cacert {directory}/pki/ca.pem {}", party("terminal-1"));
    let client = format!("--server {url} --ca {directory}/pki/ca.pem {}", party("issuer"));
    vec![
        format!(
            "{counter} -H 'content-type: application/json' {url}/v1/counter/open -d \
             '{{\"order\":\"{id}\",\"se\":{{\"iccid\":\"{se}\"}},\
             \"terminal\":\"terminal-1\",\"reader\":\"reader-1\"}}' > {directory}/opened.json"
        ),
        format!("echo 4711 > {directory}/access-code"),
        format!(
            "madoguchi sandbox counter token --terminal {directory}/counter/terminal-1.json \
             --details {directory}/opened.json --access-code-file {directory}/access-code \
             > {directory}/token"
        ),
        format!(
            "{counter} -H 'content-type: application/json' {url}/v1/counter/authorize -d \
             \"{{\\\"order\\\":\\\"{id}\\\",\\\"token\\\":\\\"$(cat {directory}/token)\\\",\
             \\\"access_code\\\":\\\"4711\\\"}}\""
        ),
        format!("madoguchi order watch {id} {client}"),
    ]
}
