//! `logmask`: which messages of the log are shown, by their subject.

use crate::error::Refusal;
use crate::tree::{Attribute, files};

files! {
    /// Subjects of messages, in the kernel's order. Most of them switch kernel code that uo2cb does not have or does not
    /// report on; their files keep what is written to them.
    pub enum Subject {
        Tcp = Attribute::read_write("TCP"),
        Msg = Attribute::read_write("MSG"),
        Socket = Attribute::read_write("SOCKET"),
        Heartbeat = Attribute::read_write("HEARTBEAT"),
        HbBio = Attribute::read_write("HB_BIO"),
        Dlmfs = Attribute::read_write("DLMFS"),
        Dlm = Attribute::read_write("DLM"),
        DlmDomain = Attribute::read_write("DLM_DOMAIN"),
        DlmThread = Attribute::read_write("DLM_THREAD"),
        DlmMaster = Attribute::read_write("DLM_MASTER"),
        DlmRecovery = Attribute::read_write("DLM_RECOVERY"),
        DlmGlue = Attribute::read_write("DLM_GLUE"),
        Vote = Attribute::read_write("VOTE"),
        Conn = Attribute::read_write("CONN"),
        Quorum = Attribute::read_write("QUORUM"),
        Basts = Attribute::read_write("BASTS"),
        Cluster = Attribute::read_write("CLUSTER"),
        Error = Attribute::read_write("ERROR"),
        Notice = Attribute::read_write("NOTICE"),
        Kthread = Attribute::read_write("KTHREAD"),
    }
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
pub(crate) struct LogMask([Mask; Subject::ATTRIBUTES.len()]);

impl Default for LogMask {
    fn default() -> Self {
        let mut masks = [Mask::Off; Subject::ATTRIBUTES.len()];
        for shown in [Subject::Error, Subject::Notice] {
            masks[shown as usize] = Mask::Allow;
        }
        Self(masks)
    }
}

impl LogMask {
    /// Are messages of this subject shown?
    pub(crate) fn shows(&self, subject: Subject) -> bool {
        self.0[subject as usize] == Mask::Allow
    }

    /// The word that the subject's file shows.
    pub(crate) fn word(&self, subject: Subject) -> &'static str {
        self.0[subject as usize].word()
    }

    /// A write to the subject's file: it begins with one of the words, in any case; what follows is ignored.
    pub(crate) fn set(&mut self, subject: Subject, data: &[u8]) -> Result<(), Refusal> {
        let starts = |mask: &Mask| {
            let word = mask.word().as_bytes();
            data.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
        };
        let mask = Mask::ALL.into_iter().find(starts).ok_or(Refusal::BadMask)?;
        self.0[subject as usize] = mask;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_notices_are_shown_at_first() {
        let mask = LogMask::default();
        assert!(mask.shows(Subject::Error) && mask.shows(Subject::Notice) && !mask.shows(Subject::Heartbeat));
    }

    #[test]
    fn written_by_prefix_in_any_case() {
        let mut mask = LogMask::default();
        assert_eq!(mask.set(Subject::Tcp, b"ALLOWED\n"), Ok(()));
        assert_eq!(mask.word(Subject::Tcp), "allow");
        assert_eq!(mask.set(Subject::Tcp, b"deny"), Ok(()));
        assert_eq!(mask.word(Subject::Tcp), "deny");
        for text in [&b""[..], b"\n", b"al", b"on\n", b" off"] {
            assert_eq!(mask.set(Subject::Tcp, text), Err(Refusal::BadMask));
        }
    }
}
