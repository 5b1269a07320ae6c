//! `logmask`: which messages of the log are shown, by their subject.

use crate::error::Refusal;

/// Subjects, in the kernel's order and with its file names. Those without a constant in [`Subject`] switch kernel
/// code that uo2cb does not have or does not report on; they keep what is written to them.
pub(crate) const SUBJECTS: [&str; 20] = [
    "TCP",
    "MSG",
    "SOCKET",
    "HEARTBEAT",
    "HB_BIO",
    "DLMFS",
    "DLM",
    "DLM_DOMAIN",
    "DLM_THREAD",
    "DLM_MASTER",
    "DLM_RECOVERY",
    "DLM_GLUE",
    "VOTE",
    "CONN",
    "QUORUM",
    "BASTS",
    "CLUSTER",
    "ERROR",
    "NOTICE",
    "KTHREAD",
];

/// A subject of messages: its number in `SUBJECTS`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Subject(u8);

impl Subject {
    /// Heartbeat in detail.
    pub const HEARTBEAT: Self = Self(3);
    /// What went wrong.
    pub const ERROR: Self = Self(17);
    /// What is worth knowing.
    pub const NOTICE: Self = Self(18);
}

/// State of one subject.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mask {
    /// Shown.
    Allow,
    /// Not shown, whatever else allows it.
    Deny,
    /// Not shown.
    Off,
}

impl Mask {
    const ALL: [Self; 3] = [Self::Allow, Self::Deny, Self::Off];

    fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Off => "off",
        }
    }
}

/// The state of all subjects.
#[derive(Debug)]
pub(crate) struct LogMask([Mask; SUBJECTS.len()]);

impl Default for LogMask {
    fn default() -> Self {
        let mut masks = [Mask::Off; SUBJECTS.len()];
        for shown in [Subject::ERROR, Subject::NOTICE] {
            masks[usize::from(shown.0)] = Mask::Allow;
        }
        Self(masks)
    }
}

impl LogMask {
    /// Are messages of this subject shown?
    pub(crate) fn shows(&self, subject: Subject) -> bool {
        self.0.get(usize::from(subject.0)) == Some(&Mask::Allow)
    }

    /// The word that the subject's file shows.
    pub(crate) fn word(&self, subject: usize) -> &'static str {
        self.0.get(subject).map_or("off", |mask| mask.word())
    }

    /// A write to the subject's file: it begins with one of the words, in any case; what follows is ignored.
    pub(crate) fn set(&mut self, subject: usize, data: &[u8]) -> Result<(), Refusal> {
        let starts = |mask: &Mask| {
            let word = mask.word().as_bytes();
            data.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
        };
        let mask = Mask::ALL.into_iter().find(starts).ok_or(Refusal::BadMask)?;
        *self.0.get_mut(subject).ok_or(Refusal::Gone)? = mask;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_notices_are_shown_at_first() {
        let mask = LogMask::default();
        assert!(mask.shows(Subject::ERROR) && mask.shows(Subject::NOTICE) && !mask.shows(Subject::HEARTBEAT));
        assert_eq!(SUBJECTS[usize::from(Subject::ERROR.0)], "ERROR");
        assert_eq!(SUBJECTS[usize::from(Subject::NOTICE.0)], "NOTICE");
        assert_eq!(SUBJECTS[usize::from(Subject::HEARTBEAT.0)], "HEARTBEAT");
    }

    #[test]
    fn written_by_prefix_in_any_case() {
        let mut mask = LogMask::default();
        assert_eq!(mask.set(0, b"ALLOWED\n"), Ok(()));
        assert_eq!(mask.word(0), "allow");
        assert_eq!(mask.set(0, b"deny"), Ok(()));
        assert_eq!(mask.word(0), "deny");
        for text in [&b""[..], b"\n", b"al", b"on\n", b" off"] {
            assert_eq!(mask.set(0, text), Err(Refusal::BadMask));
        }
    }
}
