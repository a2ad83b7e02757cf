//! The chat page: its files are part of the program, and it may ask nobody but this server.

use std::sync::Arc;

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::routing::get;

use super::app::App;

/// Nothing from elsewhere, nothing inline, and no other page around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file of the page: where it stands and what is in it.
type File = (&'static str, &'static str);

/// Files of a folder, which stand below `/page`.
macro_rules! files {
    ($folder:literal: $($name:literal,)*) => {
        [$((concat!("/page/", $name), include_str!(concat!($folder, $name)))),*]
    };
}

const INDEX: [File; 1] = [("/", include_str!("page/index.html"))];

/// What it shares with the page that runs models in the browser.
const SHARED: [File; 4] = files! { "../../examples/web/page/":
    "chat.css",
    "icon.svg",
    "page.css",
    "starters.js",
};

/// What is its own.
const OWN: [File; 26] = files! { "page/":
    "answer.js",
    "chat.js",
    "composer.js",
    "conversation.js",
    "dom.js",
    "events.js",
    "format.js",
    "formula.js",
    "inline.js",
    "keeper.js",
    "main.js",
    "markdown.css",
    "markdown.js",
    "node.js",
    "patch.js",
    "run.js",
    "server.js",
    "settings.js",
    "sidebar.js",
    "storage.js",
    "store.js",
    "style.css",
    "symbols.js",
    "table.js",
    "theme.js",
    "tokens.js",
};

fn files() -> impl Iterator<Item = File> {
    INDEX.into_iter().chain(SHARED).chain(OWN)
}

/// What a file of that name is.
fn kind(path: &str) -> &'static str {
    match path.as_bytes() {
        [.., b'c', b's', b's'] => "text/css; charset=utf-8",
        [.., b'.', b'j', b's'] => "text/javascript; charset=utf-8",
        [.., b's', b'v', b'g'] => "image/svg+xml",
        _ => "text/html; charset=utf-8",
    }
}

/// Whether something at `path` belongs to the page.
pub(super) fn is_part(path: &str) -> bool {
    files().any(|(part, _)| part == path)
}

/// The routes of its files.
pub(super) fn routes() -> Router<Arc<App>> {
    files().fold(Router::new(), |router, (path, text)| {
        let headers: [(HeaderName, &str); 5] = [
            (CONTENT_TYPE, kind(path)),
            (CONTENT_SECURITY_POLICY, POLICY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
            (CACHE_CONTROL, "no-cache"),
        ];
        router.route(path, get(async move || (headers, text)))
    })
}
