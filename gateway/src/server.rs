//! The listening side: every connection is mutually authenticated TLS 1.3, and every wait in it has a deadline.
//!
//! Promised: a peer that sends nothing, sends slowly, sends too much or shows no valid certificate costs one connection for at most its
//! deadline; a reload makes every connection check its certificate again; SIGTERM ends open requests before the node goes.
//! Not promised: fairness between peers beyond the cap on connections.

pub mod body;
mod bounded;
mod connection;
mod limits;
pub mod problem;
pub mod tls;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::timeout,
};

pub use self::{
    bounded::BodyTooLarge,
    limits::Limits,
    tls::{TlsError, server_config},
};

/// Wait after an accept that failed for want of file descriptors or memory.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// What a connection lives under; when it changes, connections end after the request they are in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Era {
    /// Grows with every reload.
    generation: u64,
    /// Whether the node takes no more work.
    draining: bool,
}

/// Given to every request: streams end when it changes.
#[derive(Debug, Clone)]
pub struct Ending(watch::Receiver<Era>);

impl Ending {
    /// Resolves when the connection should end.
    pub async fn wait(&mut self) {
        // An error means the server is gone, which is an end too.
        let _ = self.0.changed().await;
    }

    /// Whether the node takes no more work.
    pub fn is_draining(&self) -> bool {
        self.0.borrow().draining
    }
}

/// The listening side of a node.
pub struct Server {
    listener: TcpListener,
    tls: ArcSwap<rustls::ServerConfig>,
    limits: Limits,
    era: watch::Sender<Era>,
}

impl Server {
    /// Binds the address; nothing is accepted before [`Server::run`].
    ///
    /// # Errors
    /// What the operating system says of the address.
    pub async fn bind(
        listen: SocketAddr,
        tls: Arc<rustls::ServerConfig>,
        limits: Limits,
    ) -> std::io::Result<Server> {
        let listener = TcpListener::bind(listen).await?;
        Ok(Server { listener, tls: ArcSwap::new(tls), limits, era: watch::Sender::default() })
    }

    /// The bound address.
    ///
    /// # Errors
    /// What the operating system says of the socket.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves with another TLS configuration from now on; connections under the one before end after their request.
    pub fn reload(&self, tls: Arc<rustls::ServerConfig>) {
        self.tls.store(tls);
        self.era.send_modify(|era| era.generation = era.generation.wrapping_add(1));
    }

    /// Takes no more connections and lets [`Server::run`] return once the open ones have ended.
    pub fn drain(&self) {
        self.era.send_modify(|era| era.draining = true);
    }

    /// Accepts until drained. Connections that are still open `drain_timeout` later are cut.
    pub async fn run(&self, router: Router) {
        let slots = Arc::new(Semaphore::new(self.limits.connections_max));
        let mut connections = JoinSet::new();
        let mut era = self.era.subscribe();
        while !era.borrow_and_update().draining {
            tokio::select! {
                (stream, address, slot) = self.accept(&slots) => {
                    let connection = connection::Connection {
                        address,
                        tls: self.tls.load_full(),
                        limits: self.limits,
                        router: router.clone(),
                        era: self.era.subscribe(),
                    };
                    connections.spawn(async move {
                        let outcome = connection.serve(stream).await;
                        metrics::counter!("madoguchi_connections_total", "outcome" => outcome.as_str()).increment(1);
                        drop(slot);
                    });
                }
                Some(_) = connections.join_next() => {}
                _ = era.changed() => {}
            }
        }
        tracing::info!(open = connections.len(), "draining");
        let all_ended = async { while connections.join_next().await.is_some() {} };
        if timeout(self.limits.drain, all_ended).await.is_err() {
            tracing::warn!(open = connections.len(), "connections cut at the end of the drain");
            connections.shutdown().await;
        }
    }

    /// The next connection, once there is a slot for it: more wait in the listen queue.
    async fn accept(
        &self,
        slots: &Arc<Semaphore>,
    ) -> (TcpStream, SocketAddr, Option<OwnedSemaphorePermit>) {
        // The semaphore is never closed.
        let slot = Arc::clone(slots).acquire_owned().await.ok();
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => return (stream, address, slot),
                Err(cause) => {
                    tracing::warn!(%cause, "accept failed");
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }
}
