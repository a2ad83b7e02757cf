//! `GET models`: the one that there is.

use axum::Json;
use serde_json::{Value, json};

use super::app::App;
use super::errors::Refusal;

/// The list of it.
pub(super) fn list(app: &App) -> Json<Value> {
    Json(json!({ "object": "list", "data": [object(app)] }))
}

/// What is known of it.
///
/// # Errors
/// 404 if it is called otherwise.
pub(super) fn one(app: &App, id: &str) -> Result<Json<Value>, Refusal> {
    check(app, Some(id))?;
    Ok(Json(object(app)))
}

/// Whether the model that is asked for is there.
///
/// # Errors
/// 404 if it is not.
pub(super) fn check(app: &App, asked: Option<&str>) -> Result<(), Refusal> {
    let there = &app.options.model;
    match asked {
        Some(asked) if asked != there => Err(Refusal::unknown_model(asked, there)),
        _ => Ok(()),
    }
}

fn object(app: &App) -> Value {
    let (language, card) = (app.language.get(), app.card.get());
    json!({
        "id": app.options.model,
        "object": "model",
        "created": app.started(),
        "owned_by": "tiefsee",
        "meta": {
            "n_ctx": language.map(|language| language.context()),
            "n_params": card.map(|card| card.parameters),
            "format": card.map(|card| &card.format),
            "sha256": app.sha256.get(),
        },
    })
}
