//! Who may use the server: keys, names it is called by, and pages of other sites.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::app::App;
use super::errors::Refusal;
use super::options::ServerOptions;
use super::page;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Lets in who knows the key. The page asks for it itself, and whoever watches over the program needs none.
pub(super) async fn check_key(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    if let Some(key) = &app.options.api_key {
        if !is_public(request.uri().path()) && !knows(request.headers(), key) {
            return Err(Refusal::unauthorized());
        }
    }
    Ok(next.run(request).await)
}

fn is_public(path: &str) -> bool {
    let last = path.rsplit('/').next().unwrap_or_default();
    matches!(last, "health" | "ready") || page::is_part(path)
}

/// The time that it takes does not tell how much of a wrong key is right.
fn knows(headers: &HeaderMap, key: &str) -> bool {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let given = bearer.or_else(|| headers.get(API_KEY)?.to_str().ok());
    let hash = |text: &str| Sha256::digest(text.as_bytes());
    given.is_some_and(|given| hash(given).as_slice().ct_eq(hash(key).as_slice()).into())
}

/// Refuses requests that call the server by a strange name, which is how a page gets around the rules for
/// origins, and those of other sites' pages.
pub(super) async fn check_origin(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let options = &app.options;
    let host = host(request.headers(), request.uri());
    if options.api_key.is_none() && !host.is_some_and(|host| is_known_host(host, options)) {
        let message =
            "the request calls this server by a name that it does not know (--allow-host NAME)";
        return Err(Refusal::forbidden("unknown_host", message));
    }
    let origin = request.headers().get(ORIGIN);
    if origin.is_some_and(|origin| !is_known_origin(origin, host, options)) {
        let message = "pages of that origin may not use this server (--cors-origin ORIGIN)";
        return Err(Refusal::forbidden("unknown_origin", message));
    }
    Ok(next.run(request).await)
}

/// Headers that let pages of known origins read replies.
pub(super) fn cors(options: &ServerOptions) -> CorsLayer {
    let options = options.clone();
    let is_known = move |origin: &HeaderValue, head: &Parts| {
        is_known_origin(origin, host(&head.headers, &head.uri), &options)
    };
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(is_known))
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([CONTENT_TYPE, RETRY_AFTER])
}

/// What a request calls the server, with the port.
fn host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    let named = uri.authority().map(axum::http::uri::Authority::as_str);
    named.or_else(|| headers.get(HOST)?.to_str().ok())
}

/// A host without its port and brackets.
fn name(host: &str) -> &str {
    if let Some((name, _)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return name;
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

/// Addresses are not looked up, so they are what they say.
fn is_known_host(host: &str, options: &ServerOptions) -> bool {
    let name = name(host);
    let is = |other: &String| name.eq_ignore_ascii_case(other);
    name.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || is(&options.host)
        || options.allowed_hosts.iter().any(is)
}

/// The same origin, those of this machine, and those that the options name.
fn is_known_origin(origin: &HeaderValue, host: Option<&str>, options: &ServerOptions) -> bool {
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    let is =
        |other: &String| other == "*" || origin.eq_ignore_ascii_case(other.trim_end_matches('/'));
    if options.cors_origins.iter().any(is) {
        return true;
    }
    let Some((scheme, place)) = origin.split_once("://") else {
        return false;
    };
    let is_web = scheme == "http" || scheme == "https";
    let local = name(place);
    let is_local = local.eq_ignore_ascii_case("localhost")
        || local
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    is_web && (is_local || host.is_some_and(|host| place.eq_ignore_ascii_case(host)))
}
