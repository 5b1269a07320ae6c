//! Sockets: what happens to them on its way in.

use uo2cb_core::net::NetEvent;
use uo2cb_core::{Errno, Input, RequestId};

use super::super::net::Owner;
use super::Monitor;

impl Owner for Monitor {
    fn listening(&self, request: RequestId, result: Result<(), Errno>) {
        self.enter(|state, now| state.engine.handle(now, Input::Listening { request, result }));
    }

    fn net_event(&self, event: NetEvent<'_>) {
        self.enter(|state, now| state.engine.handle(now, Input::Net(event)));
    }
}
