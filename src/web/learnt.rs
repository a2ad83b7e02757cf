//! What earlier visits learnt of the GPU, wherever the package keeps it.

use std::fmt;

use wasm_bindgen::prelude::*;

use crate::gpu::Store;

#[wasm_bindgen]
extern "C" {
    /// The package's `Learnt`: small texts by name.
    pub type Learnt;
    #[wasm_bindgen(method)]
    fn read(this: &Learnt, name: &str) -> Option<String>;
    #[wasm_bindgen(method)]
    fn write(this: &Learnt, name: &str, text: &str);
}

impl fmt::Debug for Learnt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the origin's storage")
    }
}

impl Store for Learnt {
    fn read(&self, name: &str) -> Option<Vec<u8>> {
        self.read(name).map(String::into_bytes)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        if let Ok(text) = str::from_utf8(bytes) {
            self.write(name, text);
        }
    }
}
