//! Errors as JavaScript has them: an `Error` with a `code`.

use js_sys::Reflect;
use wasm_bindgen::prelude::*;

use crate::error::Error;
use crate::openai::error_code;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn console_error(text: &str);
}

/// What a promise is rejected with.
pub struct Failure(JsValue);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let object = js_sys::Error::new(&error.to_string());
        // A plain object takes any property.
        _ = Reflect::set(&object, &"code".into(), &error_code(&error).into());
        Self(object.into())
    }
}

impl From<JsValue> for Failure {
    fn from(thrown: JsValue) -> Self {
        Self(thrown)
    }
}

impl From<Failure> for JsValue {
    fn from(failure: Failure) -> Self {
        failure.0
    }
}

/// Has panics say where they happened; the browser itself only says `unreachable`.
pub(super) fn report_panics() {
    std::panic::set_hook(Box::new(|panic| console_error(&panic.to_string())));
}
