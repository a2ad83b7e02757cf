//! Work on several cores at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

/// The most threads: compilers take memory.
const MOST_THREADS: usize = 8;

fn cores() -> usize {
    thread::available_parallelism().map_or(1, |cores| cores.get().min(MOST_THREADS))
}

/// Does `work` on every item, on this thread and others, and waits for all of it.
pub(super) fn together<T: Sync>(items: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let some = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(item);
        }
    };
    thread::scope(|scope| {
        for _ in 1..cores().min(items.len()) {
            scope.spawn(some);
        }
        some();
    });
}

/// Threads that go on while their owner does something else.
pub(super) struct Background {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Background {
    /// Begins `work` on every item.
    pub(super) fn start<T: Send + Sync + 'static>(
        items: Vec<T>,
        work: impl Fn(&T) + Send + Sync + 'static,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let shared = Arc::new((items, AtomicUsize::new(0), work));
        // One core is left to whoever started this.
        let count = (cores() - 1).clamp(1, shared.0.len().max(1));
        let start = |_| {
            let (stop, shared) = (Arc::clone(&stop), Arc::clone(&shared));
            thread::spawn(move || {
                let (items, next, work) = &*shared;
                while !stop.load(Ordering::Relaxed)
                    && let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    work(item);
                }
            })
        };
        let threads = (0..count).map(start).collect();
        Self { stop, threads }
    }
}

impl Drop for Background {
    /// What has begun is finished first: a driver must not be unloaded while it compiles.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A panic was reported where it happened, and what it left undone is done when it is needed.
            _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_worked_on_once() {
        let counts: Vec<AtomicUsize> = (0..100).map(|_| AtomicUsize::new(0)).collect();
        together(&counts, |count| _ = count.fetch_add(1, Ordering::Relaxed));
        assert!(
            counts
                .iter()
                .all(|count| count.load(Ordering::Relaxed) == 1)
        );
        together(&[0; 0], |_| unreachable!());
    }

    #[test]
    fn the_background_ends_with_its_owner() {
        let begun = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&begun);
        let work = move |_: &usize| {
            counter.fetch_add(1, Ordering::Relaxed);
            thread::sleep(std::time::Duration::from_millis(1));
        };
        drop(Background::start((0..100_000).collect(), work));
        let begun_then = begun.load(Ordering::Relaxed);
        thread::sleep(std::time::Duration::from_millis(10));
        assert_eq!(begun.load(Ordering::Relaxed), begun_then);
        assert!(begun_then < 100_000);
    }
}
