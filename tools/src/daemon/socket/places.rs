//! Room for clients: so many may watch or hold, and there always is a place for a short request.

use std::collections::BTreeMap;

use rustix::event::PollFlags;

use super::render;
use super::session::{Backend, Session, WATCHERS};

/// Places that none of those can take.
const SHORT: usize = 8;

/// All clients.
#[derive(Default)]
pub(super) struct Places {
    next: u64,
    sessions: BTreeMap<u64, Session>,
}

impl Places {
    /// A new client. Where there is no place left, the one that neither watches nor holds and has been silent for the
    /// longest time has to go.
    pub(super) fn take(&mut self, session: Session, node: &Backend) {
        if self.sessions.len() >= WATCHERS + SHORT {
            let idle = self.sessions.iter().filter(|(_, session)| !session.subscribed());
            if let Some(number) =
                idle.min_by_key(|(_, session)| session.last_heard()).map(|(number, _)| *number)
            {
                if let Some(mut idle) = self.sessions.remove(&number) {
                    idle.say(&render::error("too many clients"));
                    idle.end(node);
                }
            }
        }
        self.sessions.insert(self.next, session);
        self.next += 1;
    }

    /// What is to be waited for with each client.
    pub(super) fn wanted(&self) -> impl Iterator<Item = (u64, &Session, PollFlags)> {
        self.sessions.iter().filter_map(|(number, session)| Some((*number, session, session.wanted()?)))
    }

    /// Something has happened with a client.
    pub(super) fn serve(&mut self, number: u64, event: PollFlags, node: &Backend) {
        let room = self.room();
        if let Some(session) = self.sessions.get_mut(&number) {
            session.serve(event, node, room);
        }
    }

    /// Lines that had to wait.
    pub(super) fn resume(&mut self, node: &Backend) {
        let numbers: Vec<u64> = self.sessions.keys().copied().collect();
        for number in numbers {
            let room = self.room();
            if let Some(session) = self.sessions.get_mut(&number) {
                session.take_lines(node, room);
            }
        }
    }

    /// Whether one more may watch or hold.
    fn room(&self) -> bool {
        self.sessions.values().filter(|session| session.subscribed()).count() < WATCHERS
    }

    pub(super) fn each(&mut self, work: impl FnMut(&mut Session)) {
        self.sessions.values_mut().for_each(work);
    }

    /// Forgets those with whom there is nothing left to do.
    pub(super) fn clear_ended(&mut self, node: &Backend) {
        self.sessions.retain(|_, session| {
            let ended = session.has_ended();
            if ended {
                session.end(node);
            }
            !ended
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }
}
