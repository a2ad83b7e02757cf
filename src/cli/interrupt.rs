//! Ctrl-C: asks what is under way, an answer or a file being written, to stop, and ends the program when that
//! takes too long.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tiefsee::{Error, Result};

use super::output;

/// Whether Ctrl-C was pressed.
pub(crate) struct Interrupts {
    pressed: Arc<AtomicBool>,
    /// Files that are not complete, and stay if there is no time to clear them away.
    unfinished: Arc<Mutex<Vec<PathBuf>>>,
}

impl Interrupts {
    /// The exit status of what was interrupted.
    pub(crate) const STATUS: u8 = 130;

    /// Listens from now on; before, Ctrl-C ends the program.
    ///
    /// # Errors
    /// [`Error::Internal`] if the system refuses.
    pub(crate) fn listen() -> Result<Self> {
        let pressed = Arc::new(AtomicBool::new(false));
        let unfinished = Arc::new(Mutex::new(Vec::<PathBuf>::new()));
        let (handler, left) = (Arc::clone(&pressed), Arc::clone(&unfinished));
        let listening = ctrlc::set_handler(move || {
            if handler.swap(true, Ordering::Relaxed) {
                let left = left.lock().unwrap_or_else(PoisonError::into_inner);
                for file in left.iter().filter(|file| file.exists()) {
                    output::note(&format!("{}: is left unfinished", file.display()));
                }
                std::process::exit(i32::from(Self::STATUS));
            }
        });
        listening.map_err(|error| Error::Internal(format!("Ctrl-C cannot be caught: {error}")))?;
        Ok(Self {
            pressed,
            unfinished,
        })
    }

    /// Takes note of files that are told of if the program has to end at once.
    pub(crate) fn begin(&self, files: &[PathBuf]) {
        let mut unfinished = self
            .unfinished
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        files.clone_into(&mut unfinished);
    }

    /// Whether it was pressed since [`Self::forget`].
    pub(crate) fn pressed(&self) -> bool {
        self.pressed.load(Ordering::Relaxed)
    }

    /// Lets what comes next begin unstopped.
    pub(crate) fn forget(&self) {
        self.pressed.store(false, Ordering::Relaxed);
    }

    /// Ends work whose unfinished files have to be cleared away first.
    ///
    /// # Errors
    /// If it was pressed, one that [`Self::ended`] knows.
    pub(crate) fn check(&self) -> Result<()> {
        if !self.pressed() {
            return Ok(());
        }
        Err(Error::Io {
            path: "the keyboard".into(),
            source: ErrorKind::Interrupted.into(),
        })
    }

    /// Whether an error only says that the user wanted no more.
    pub(crate) fn ended(error: &Error) -> bool {
        matches!(error, Error::Io { source, .. } if source.kind() == ErrorKind::Interrupted)
    }

    /// How a program ends that was interrupted.
    pub(crate) fn status() -> ExitCode {
        ExitCode::from(Self::STATUS)
    }
}
