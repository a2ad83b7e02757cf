//! How a server is set up.

use std::net::IpAddr;
use std::time::Duration;

use crate::error::{Error, Result};

/// How a server listens, whom it lets in, and how much it takes on.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The address or name of the interface that it listens on.
    pub host: String,
    /// The port; 0 for any that is free.
    pub port: u16,
    /// What clients have to know, if anything.
    pub api_key: Option<String>,
    /// What the model is called.
    pub model: String,
    /// Where the model lies, so that clients can be told the hash of its file; they are not if it is `None`.
    pub weights: Option<String>,
    /// Answers that are generated together.
    pub slots: usize,
    /// Answers that may wait for a slot.
    pub queue: usize,
    /// Origins whose pages may send requests, besides those of this machine; `*` for all.
    pub cors_origins: Vec<String>,
    /// Names that requests may call the server by, besides addresses and `localhost`.
    pub allowed_hosts: Vec<String>,
    /// Whether other machines may send requests although there is no key.
    pub insecure: bool,
    /// How long it waits for slow clients.
    pub patience: Patience,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".into(),
            port: 8383,
            api_key: None,
            model: "demo".into(),
            weights: None,
            slots: 4,
            queue: 64,
            cors_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            insecure: false,
            patience: Patience::default(),
        }
    }
}

/// How long a server waits.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For all of a request's head, and for all of its body.
    pub request: Duration,
    /// For a client that takes nothing of a reply.
    pub reply: Duration,
    /// Between signs of life in a stream that has nothing to say.
    pub keep_alive: Duration,
    /// For what is under way when the server is told to stop.
    pub drain: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(30),
            reply: Duration::from_secs(60),
            keep_alive: Duration::from_secs(10),
            drain: Duration::from_secs(30),
        }
    }
}

impl ServerOptions {
    /// Refuses to let other machines in without a key, unless that is meant.
    pub(super) fn check(&self) -> Result<()> {
        if self
            .api_key
            .as_deref()
            .is_some_and(|key| key.trim().is_empty())
        {
            return Err(Error::Usage("the API key is empty".into()));
        }
        if self.api_key.is_some() || self.insecure || self.is_loopback() {
            return Ok(());
        }
        Err(Error::Usage(format!(
            "{} can be reached from other machines: set --api-key, or --insecure if anybody may use it",
            self.host
        )))
    }

    fn is_loopback(&self) -> bool {
        let address = self.host.parse::<IpAddr>();
        self.host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }
}
