//! Sockets: accepting them, not too many, and letting go of clients that keep them for nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use super::app::App;
use super::patient::Patient;
use super::routes::router;

/// Clients that are connected at a time; others wait until one goes.
const MOST: usize = 1024;
/// After an error of accepting, such as too many open files.
const PAUSE: Duration = Duration::from_millis(50);

/// The open ones of a server.
#[derive(Clone)]
pub(super) struct Connections {
    app: Arc<App>,
    router: Router,
    closing: watch::Sender<bool>,
}

impl Connections {
    pub(super) fn new(app: Arc<App>) -> Self {
        Self {
            router: router(&app),
            app,
            closing: watch::Sender::new(false),
        }
    }

    /// Accepts in a task, until that is aborted.
    pub(super) fn accept(self, listener: TcpListener) -> JoinHandle<()> {
        tokio::spawn(self.accept_all(listener))
    }

    async fn accept_all(self, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(MOST));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((socket, _)) => {
                    let serving = self.clone().serve(socket, self.closing.subscribe());
                    tokio::spawn(async move {
                        serving.await;
                        drop(place);
                    });
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    async fn serve(self, socket: TcpStream, mut closing: watch::Receiver<bool>) {
        // Tokens are small, and each is waited for.
        _ = socket.set_nodelay(true);
        let patience = self.app.options.patience;
        let mut builder = Builder::new(TokioExecutor::new()).http1_only();
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(patience.request);
        let service = TowerToHyperService::new(self.router);
        let socket = TokioIo::new(Patient::new(socket, patience.reply));
        let mut connection = std::pin::pin!(builder.serve_connection(socket, service));
        // What goes wrong is the client's doing, and it has gone.
        tokio::select! {
            _ = &mut connection => return,
            _ = closing.wait_for(|closing| *closing) => connection.as_mut().graceful_shutdown(),
        }
        _ = connection.await;
    }

    /// Returns when every client has the rest of its reply and is gone.
    pub(super) async fn close(&self) {
        self.closing.send_replace(true);
        self.closing.closed().await;
    }
}
