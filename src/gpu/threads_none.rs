//! What `threads.rs` does, where there are none: in the order of the items.

/// Does `work` on every item.
pub(super) fn together<T>(items: &[T], work: impl Fn(&T)) {
    items.iter().for_each(work);
}

/// Work that is done when it is begun.
pub(super) struct Background;

impl Background {
    /// Does `work` on every item.
    pub(super) fn start<T>(items: Vec<T>, work: impl Fn(&T)) -> Self {
        items.iter().for_each(work);
        Self
    }
}
