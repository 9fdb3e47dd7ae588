//! `serve`: a node from its configuration to the end of its drain.

use std::{collections::HashMap, io::Write, net::SocketAddr, path::Path, sync::Arc};

use arc_swap::ArcSwap;
use carriers::{Carrier, json::JsonCarrier, route::Router};
use clap::Args;
use serde_json::json;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time::timeout,
};

use super::{
    config::Source,
    outcome::{Failure, Outcome},
};
use crate::{
    App, api,
    app::{Parts, SystemClock},
    audit::{Entry, Kind},
    code::Word,
    custody::{Custody, CustodyError},
    engine::{self, Engine, service::Services},
    principal::Principals,
    receipt::Receipts,
    server::{Limits, Server, server_config},
    settings::Settings,
    store::{Store, StoreError},
    telemetry,
};

#[derive(Args)]
#[command(after_help = "\
Signals: SIGTERM drains and ends; SIGHUP reads certificates, revocation lists, authority and principals again.

Example:
  madoguchi serve --config node.toml")]
pub(super) struct Arguments {
    #[command(flatten)]
    source: Source,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let settings = arguments.source.load()?.value;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|cause| Failure::new(Word::InputOutput, cause.to_string()))?;
    runtime.block_on(serve(settings, &arguments.source))
}

async fn serve(settings: Settings, source: &Source) -> Result<Outcome, Failure> {
    telemetry::init_metrics();
    let mut signals = Signals::new()?;
    let configuration = |cause: String| Failure::new(Word::Configuration, cause);
    let tls = server_config(&settings.server).map_err(|cause| configuration(cause.to_string()))?;
    let services =
        Services::load(&settings.services).map_err(|cause| configuration(cause.to_string()))?;
    let limits = Limits::from(&settings.server);
    let (app, wakes) = assemble(settings).await?;
    let server = Server::bind(app.settings.server.listen, tls, limits)
        .await
        .map_err(|cause| Failure::new(Word::InputOutput, format!("server.listen: {cause}")))?;
    let address =
        server.address().map_err(|cause| Failure::new(Word::InputOutput, cause.to_string()))?;
    record(&app, Kind::NodeStarted, Word::AuditUnavailable).await?;

    let (stop, stopped) = watch::channel(false);
    let mut engine = tokio::spawn(Engine::new(app.clone(), Arc::new(services), wakes).run(stopped));
    let router = api::router(app.clone());
    announce(app.settings.server.address_file.as_deref(), address)?;
    tracing::info!(%address, node = app.settings.node.id, "serving");
    let accepting = server.run(router);
    tokio::pin!(accepting);
    loop {
        tokio::select! {
            () = &mut accepting => break,
            _ = signals.terminate.recv() => {
                server.drain();
                // Nobody waits for the receiver's side: the engine ends by itself once it sees the value.
                let _ = stop.send(true);
            }
            _ = signals.hang_up.recv() => reload(&app, &server, source).await,
            ended = &mut engine, if !*stop.borrow() => {
                let cause = ended.err().map_or("it returned".to_owned(), |error| error.to_string());
                return Err(Failure::internal(format!("the engine ended: {cause}")));
            }
        }
    }
    if !engine.is_finished() && timeout(limits.drain, &mut engine).await.is_err() {
        tracing::warn!(
            "steps were cut at the end of the drain; they are taken up at the next start"
        );
        engine.abort();
    }
    tracing::info!("drained");
    Ok(Outcome::new(json!({ "served": { "address": address, "drained": true } }), ""))
}

/// Opens everything a node keeps, in an order in which a failure leaves nothing half done.
async fn assemble(settings: Settings) -> Result<(App, engine::Wakes), Failure> {
    let configuration = |cause: String| Failure::new(Word::Configuration, cause);
    let data_dir = &settings.node.data_dir;
    let unwritable = |cause: std::io::Error| {
        configuration(format!("node.data_dir {}: {cause}", data_dir.display()))
    };
    std::fs::create_dir_all(data_dir).map_err(unwritable)?;
    let custody = Custody::open(data_dir, &settings.custody.kek_file).map_err(custody_refused)?;
    let store = Store::open(data_dir, &settings.node.id).map_err(store_refused)?;
    let receipts = Receipts::open(&custody, &settings.node.id).await.map_err(custody_refused)?;
    let mut carriers: HashMap<String, Arc<dyn Carrier>> = HashMap::new();
    for leg in &settings.carriers {
        let carrier =
            JsonCarrier::new(leg.clone()).map_err(|cause| configuration(cause.to_string()))?;
        carriers.insert(leg.id.clone(), Arc::new(carrier));
    }
    let router =
        Router::new(settings.routes.clone()).map_err(|cause| configuration(cause.to_string()))?;
    let principals =
        Principals::new(&settings.principals).map_err(|cause| configuration(cause.to_string()))?;
    let (handle, wakes) = engine::channel();
    let app = App::new(Parts {
        authority: ArcSwap::from_pointee(settings.authority.clone()),
        settings,
        store,
        custody,
        carriers,
        router,
        principals: ArcSwap::from_pointee(principals),
        receipts,
        engine: handle,
        clock: Arc::new(SystemClock),
    });
    Ok((app, wakes))
}

fn store_refused(cause: StoreError) -> Failure {
    let word = match cause {
        StoreError::NewerVersion { .. } | StoreError::NotAStore { .. } => Word::StoreRefused,
        StoreError::ReadOnly | StoreError::DiskFull => Word::AuditUnavailable,
        StoreError::Locked | StoreError::Io { .. } | StoreError::Unavailable => {
            Word::StoreUnavailable
        }
    };
    Failure::new(word, cause.to_string())
}

fn custody_refused(cause: CustodyError) -> Failure {
    let word = match cause {
        CustodyError::Locked | CustodyError::Unavailable { .. } => Word::CustodyUnavailable,
        _ => Word::CustodyRefused,
    };
    Failure::new(word, cause.to_string())
}

/// Takes in what may change while a node runs. What cannot be read leaves everything as it was.
async fn reload(app: &App, server: &Server, source: &Source) {
    if let Err(failure) = try_reload(app, server, source).await {
        tracing::error!(?failure, "nothing was reloaded");
    }
}

async fn try_reload(app: &App, server: &Server, source: &Source) -> Result<(), Failure> {
    let configuration = |cause: String| Failure::new(Word::Configuration, cause);
    let settings = source.load()?.value;
    let tls = server_config(&settings.server).map_err(|cause| configuration(cause.to_string()))?;
    let principals =
        Principals::new(&settings.principals).map_err(|cause| configuration(cause.to_string()))?;
    record(app, Kind::ConfigurationReloaded, Word::AuditUnavailable).await?;
    app.principals.store(Arc::new(principals));
    app.authority.store(Arc::new(settings.authority));
    server.reload(tls);
    tracing::info!("reloaded");
    Ok(())
}

async fn record(app: &App, kind: Kind, otherwise: Word) -> Result<(), Failure> {
    let entry = Entry::new(kind, app.clock.now_ms())
        .detail(json!({ "version": env!("CARGO_PKG_VERSION") }));
    let committed = app.store.commit(Vec::new(), vec![entry]).await;
    committed.map(drop).map_err(|cause| Failure::new(otherwise, cause.to_string()))
}

/// Writes the bound address where whoever started the node looks for it: whole, or not at all.
fn announce(file: Option<&Path>, address: SocketAddr) -> Result<(), Failure> {
    let Some(file) = file else { return Ok(()) };
    let write = || -> std::io::Result<()> {
        let unfinished = file.with_extension("unfinished");
        let mut opened = std::fs::File::create(&unfinished)?;
        writeln!(opened, "{address}")?;
        opened.sync_all()?;
        std::fs::rename(&unfinished, file)
    };
    write().map_err(|cause| {
        Failure::new(Word::InputOutput, format!("server.address_file {}: {cause}", file.display()))
    })
}

/// The signals a node listens to.
struct Signals {
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> Result<Signals, Failure> {
        let listen =
            |kind| signal(kind).map_err(|cause| Failure::new(Word::InputOutput, cause.to_string()));
        Ok(Signals {
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }
}
