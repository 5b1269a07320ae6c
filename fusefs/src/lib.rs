//! The trees as file systems: three views over one [`Service`], through FUSE.

mod service;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uo2cb_core::View;
use uo2cb_core::tree::Change;

pub use service::{Respond, Service};

/// How a view is mounted.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Users other than the one who mounts may enter (`allow_other`).
    pub allow_other: bool,
}

/// A mounted view. Dropping it unmounts.
#[derive(Debug)]
pub struct Mounted {
    path: PathBuf,
}

impl Mounted {
    /// Where.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tree changed: the kernel's caches must hear. `own`: through a call of this very mount. Never blocks.
    pub fn changed(&self, change: &Change, own: bool) {
        let _ = (change, own);
    }
}

/// Mounts a view on an existing directory. `ended` is called once, when the mount is gone, whoever ended it.
pub fn mount(
    dir: &Path,
    view: View,
    service: Arc<dyn Service>,
    options: &Options,
    ended: Box<dyn FnOnce() + Send>,
) -> io::Result<Mounted> {
    let _ = (dir, view, service, options, ended);
    Err(io::Error::from(io::ErrorKind::Unsupported))
}
