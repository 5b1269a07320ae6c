//! Fencing: the machine that finds that this node must leave calls it with a reason (`spec/quorum.md`).
//!
//! What it does is the driver's configuration; here is why it is called.

use alloc::string::String;
use core::fmt;
use core::time::Duration;

use crate::name::Name;

/// What a fence does to the machine (`fence_method`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FenceMethod {
    /// `reset`: restart at once.
    #[default]
    Reset,
    /// `panic`.
    Panic,
}

impl FenceMethod {
    /// The word in `fence_method`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Panic => "panic",
        }
    }
}

/// Why this node fences itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FenceReason {
    /// No good beat for the write timeout: others may declare this node dead.
    WriteTimeout {
        /// The region.
        region: Name,
        /// Its device.
        device: String,
        /// For how long.
        silent: Duration,
    },
}

impl fmt::Display for FenceReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WriteTimeout { region, device, silent } => {
                write!(
                    f,
                    "no good beat of region {region} ({device}) for {} milliseconds",
                    silent.as_millis()
                )
            }
        }
    }
}
