//! Ctrl-C: asks the answer under way to stop, and ends the program when that takes too long.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tiefsee::{Error, Result};

/// The exit status of what was interrupted.
const INTERRUPTED: u8 = 130;

/// Whether Ctrl-C was pressed.
pub(crate) struct Interrupts {
    pressed: Arc<AtomicBool>,
}

impl Interrupts {
    /// Listens from now on; before, Ctrl-C ends the program.
    ///
    /// # Errors
    /// [`Error::Internal`] if the system refuses.
    pub(crate) fn listen() -> Result<Self> {
        let pressed = Arc::new(AtomicBool::new(false));
        let handler = Arc::clone(&pressed);
        let listening = ctrlc::set_handler(move || {
            if handler.swap(true, Ordering::Relaxed) {
                std::process::exit(i32::from(INTERRUPTED));
            }
        });
        listening.map_err(|error| Error::Internal(format!("Ctrl-C cannot be caught: {error}")))?;
        Ok(Self { pressed })
    }

    /// Whether it was pressed since [`Self::forget`].
    pub(crate) fn pressed(&self) -> bool {
        self.pressed.load(Ordering::Relaxed)
    }

    /// Lets what comes next begin unstopped.
    pub(crate) fn forget(&self) {
        self.pressed.store(false, Ordering::Relaxed);
    }

    /// How a program ends that was interrupted.
    pub(crate) fn status() -> ExitCode {
        ExitCode::from(INTERRUPTED)
    }
}
