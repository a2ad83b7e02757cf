//! A model's files, wherever the package's `Source` finds them.

use std::ops::Range;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use js_sys::{Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::checkpoint::Source;
use crate::error::{Error, Result};

#[wasm_bindgen]
extern "C" {
    /// The package's `Source`.
    pub type Files;
    #[wasm_bindgen(method, getter)]
    fn name(this: &Files) -> String;
    #[wasm_bindgen(method, getter, js_name = modelFile)]
    fn model_file(this: &Files) -> Option<String>;
    #[wasm_bindgen(method, catch)]
    fn size(this: &Files, file: &str) -> std::result::Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn read(
        this: &Files,
        file: &str,
        start: f64,
        end: f64,
    ) -> std::result::Result<Promise, JsValue>;
}

async fn settled(promise: std::result::Result<Promise, JsValue>) -> Result<JsValue> {
    // The worker keeps the source's own error and reports that one.
    let failed = |thrown: JsValue| {
        let what = js_sys::Error::from(thrown).message();
        Error::NotFound(what.into())
    };
    JsFuture::from(promise.map_err(failed)?)
        .await
        .map_err(failed)
}

impl Source for Files {
    fn name(&self) -> String {
        self.name()
    }

    fn model_file(&self) -> Option<String> {
        self.model_file()
    }

    fn size<'a>(&'a self, file: &'a str) -> LocalBoxFuture<'a, Result<Option<u64>>> {
        async move {
            let size = settled(self.size(file)).await?;
            Ok(size.as_f64().map(|size| size as u64))
        }
        .boxed_local()
    }

    fn read<'a>(&'a self, file: &'a str, range: Range<u64>) -> LocalBoxFuture<'a, Result<Vec<u8>>> {
        async move {
            let bytes = settled(self.read(file, range.start as f64, range.end as f64)).await?;
            Ok(Uint8Array::new(&bytes).to_vec())
        }
        .boxed_local()
    }
}
