//! What earlier runs learnt of an adapter: which of its features work, and which constants suit it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::kernel::{self, Constant};
use super::{AdapterReport, Gpu, Store, store};

/// The file's content.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Table {
    /// The adapter, its driver, and this program.
    adapter: String,
    /// What is wrong with each feature that was tried; nothing if it works.
    features: BTreeMap<String, Option<String>>,
    /// The constants that were measured to be best, by kernel, format and shape.
    constants: BTreeMap<String, BTreeMap<String, u32>>,
}

/// A table of what was learnt, and the file that it is kept in, if it is kept.
pub(super) struct Learnt {
    table: RefCell<Table>,
    changed: Cell<bool>,
    store: Option<Rc<dyn Store>>,
    file: String,
}

impl Learnt {
    /// What `store` has of an adapter; nothing if its file is damaged, or of another driver or version.
    pub(super) fn open(adapter: &AdapterReport, store: Option<&Rc<dyn Store>>) -> Self {
        let file = store::file_name(adapter, "json");
        let identity = format!("{}; {}", store::identity(adapter), kernel::library_hash());
        let kept = store.and_then(|store| store.read(&file));
        let kept = kept.and_then(|json| serde_json::from_slice::<Table>(&json).ok());
        let fresh = || Table {
            adapter: identity.clone(),
            ..Table::default()
        };
        let table = kept.filter(|table| table.adapter == identity);
        Self {
            table: RefCell::new(table.unwrap_or_else(fresh)),
            changed: Cell::new(false),
            store: store.cloned(),
            file,
        }
    }

    /// The constants for a `question`, if it was answered with one of the `candidates`.
    pub(super) fn constants<'a>(
        &self,
        question: &str,
        candidates: &'a [Vec<Constant>],
    ) -> Option<&'a Vec<Constant>> {
        let table = self.table.borrow();
        let known = table.constants.get(question)?;
        let same = |candidate: &&Vec<Constant>| {
            let value = |&(name, value): &Constant| known.get(name) == Some(&value);
            candidate.len() == known.len() && candidate.iter().all(value)
        };
        candidates.iter().find(same)
    }

    /// Answers a question.
    pub(super) fn set_constants(&self, question: &str, constants: &[Constant]) {
        let constants = constants.iter().map(|&(name, value)| (name.into(), value));
        let mut table = self.table.borrow_mut();
        table.constants.insert(question.into(), constants.collect());
        self.changed.set(true);
    }

    /// Writes what is new.
    pub(super) fn keep(&self) {
        let Some(store) = self.store.as_ref().filter(|_| self.changed.take()) else {
            return;
        };
        if let Ok(json) = serde_json::to_vec_pretty(&*self.table.borrow()) {
            store.write(&self.file, &json);
        }
    }
}

impl Gpu {
    /// Whether later runs will know what this one learns.
    pub fn is_kept(&self) -> bool {
        self.tuning.learnt.store.is_some()
    }

    /// What an earlier run found wrong with a feature of this adapter, `Some(None)` if it works; `None` if it has
    /// not been tried with this driver and version.
    pub fn known_fault(&self, feature: &str) -> Option<Option<String>> {
        // A browser does not tell when a driver changes.
        if super::BROWSER {
            return None;
        }
        let table = self.tuning.learnt.table.borrow();
        table.features.get(feature).cloned()
    }

    /// Keeps what is wrong with a feature, or that nothing is, for later runs.
    pub fn note_fault(&self, feature: &str, fault: Option<String>) {
        let Learnt { table, changed, .. } = &*self.tuning.learnt;
        table.borrow_mut().features.insert(feature.into(), fault);
        changed.set(true);
        self.tuning.learnt.keep();
    }
}
