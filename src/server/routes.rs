//! What is where.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, Uri};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router, middleware};
use serde_json::{Value, json};

use super::app::App;
use super::errors::Refusal;
use super::{answers, metrics, models, page, security, tokens};

/// Where every route of the interface stands.
const PREFIXES: [&str; 3] = ["", "/v1", "/beta"];

/// What `GET openapi.json` gives.
const DESCRIPTION: &str = include_str!("openapi.json");

type Route = (&'static str, &'static str, fn() -> MethodRouter<Arc<App>>);

/// The routes of the interface.
const ROUTES: [Route; 13] = [
    ("POST", "/chat/completions", || post(answers::chat)),
    ("POST", "/completions", || post(answers::complete)),
    ("GET", "/models", || {
        get(async |State(app): State<Arc<App>>| models::list(&app))
    }),
    ("GET", "/models/{id}", || {
        get(async |State(app): State<Arc<App>>, Path(id): Path<String>| models::one(&app, &id))
    }),
    ("POST", "/tokenize", || post(tokens::tokenize)),
    ("POST", "/detokenize", || post(tokens::detokenize)),
    ("POST", "/apply-template", || post(tokens::apply_template)),
    ("GET", "/tokenizer_info", || {
        get(async |State(app): State<Arc<App>>| tokens::info(&app))
    }),
    ("GET", "/health", || get(Json(json!({ "status": "ok" })))),
    ("GET", "/ready", || {
        get(async |State(app): State<Arc<App>>| ready(&app))
    }),
    ("GET", "/metrics", || {
        get(async |State(app): State<Arc<App>>| metrics::text(&app))
    }),
    ("GET", "/version", || {
        get(Json(json!({ "version": env!("CARGO_PKG_VERSION") })))
    }),
    ("GET", "/openapi.json", || {
        get(([(CONTENT_TYPE, "application/json")], DESCRIPTION))
    }),
];

/// Methods and places of the interface's routes, which stand below `/`, `/v1` and `/beta`.
pub fn routes() -> impl Iterator<Item = (&'static str, &'static str)> {
    ROUTES.into_iter().map(|(method, path, _)| (method, path))
}

/// All of them, and who may use them.
pub(super) fn router(app: &Arc<App>) -> Router {
    let mut router = page::routes();
    for prefix in PREFIXES {
        for (_, path, methods) in ROUTES {
            router = router.route(&format!("{prefix}{path}"), methods());
        }
    }
    router
        .fallback(async |uri: Uri| Refusal::unknown_route(&uri))
        .method_not_allowed_fallback(async |method: Method, uri: Uri| {
            Refusal::unknown_method(&method, &uri)
        })
        .layer(middleware::from_fn_with_state(
            Arc::clone(app),
            security::check_key,
        ))
        .layer(security::cors(&app.options))
        .layer(middleware::from_fn_with_state(
            Arc::clone(app),
            security::check_origin,
        ))
        .with_state(Arc::clone(app))
}

/// Whether it takes requests.
fn ready(app: &App) -> Result<Json<Value>, Refusal> {
    app.ready()?;
    Ok(Json(json!({ "status": "ready" })))
}
