//! The bytes of connections: sent, lost, sent again, and the ends of streams.

use uo2cb_core::net::Closing;

use super::tcp::{Packet, RESET, Tcp, Told};
use super::world::{SimEvent, World};
use super::{MS, Us};

/// When lost bytes are sent again, counted from their loss (seen between kernels, section 8; doubled up to 120 s).
const AGAIN: [Us; 15] = [
    210 * MS,
    420 * MS,
    840 * MS,
    1_700 * MS,
    3_350 * MS,
    6_800 * MS,
    13_400 * MS,
    26_900 * MS,
    53_800 * MS,
    107_500 * MS,
    215_000 * MS,
    335_000 * MS,
    455_000 * MS,
    575_000 * MS,
    695_000 * MS,
];

impl World {
    pub(super) fn send(&mut self, number: u64, side: usize, mut bytes: Vec<u8>) {
        let Some(tcp) = self.tcps.get_mut(&number) else { return };
        if tcp.ends[side].full {
            return;
        }
        if core::mem::take(&mut tcp.breaks) {
            bytes.truncate(bytes.len() / 2);
            tcp.flows[side].bytes.append(&mut bytes);
            self.transmit(number, side);
            let now = self.now;
            for side in 0..2 {
                let Some(tcp) = self.tcps.get(&number) else { return };
                let at = tcp.flows[1 - side].arrival.max(now);
                let _ = self.told(number, side, Told::Closed(Closing::Reset(RESET)), at);
            }
            return;
        }
        let flow = &mut tcp.flows[side];
        if flow.bytes.len() + bytes.len() > self.plan.buffer {
            tcp.ends[side].full = true;
            let (now, full) = (self.now, Told::Closed(Closing::Full));
            let _ = self.told(number, side, full, now);
            return;
        }
        flow.bytes.append(&mut bytes);
        if flow.lost.is_none() {
            self.transmit(number, side);
        }
    }

    /// The process closes an end: what is unread makes a reset of it.
    pub(super) fn close(&mut self, number: u64, side: usize) {
        let Some(tcp) = self.tcps.get_mut(&number) else { return };
        let (established, end) = (tcp.established, &mut tcp.ends[side]);
        end.open = false;
        let unread = end.inbox.iter().any(|told| matches!(told, Told::Bytes(_)));
        let (n, id) = (end.node, end.id);
        if let Some(id) = id {
            self.nodes[n].sockets.remove(&id);
            self.deaf(n, id);
        }
        if !established {
            self.tcps.remove(&number);
        } else if unread {
            self.send_reset(number, side);
        } else {
            self.send_end(number, side);
        }
    }

    pub(super) fn send_end(&mut self, number: u64, side: usize) {
        let Some(tcp) = self.tcps.get_mut(&number) else { return };
        tcp.flows[side].fin = true;
        if tcp.flows[side].lost.is_none() {
            self.transmit(number, side);
        }
        self.forget(number);
    }

    pub(super) fn send_reset(&mut self, number: u64, side: usize) {
        let Some(tcp) = self.tcps.get(&number) else { return };
        let (n, other, behind) = (tcp.ends[side].node, tcp.ends[1 - side].node, tcp.flows[side].arrival);
        if self.passes(n, other) {
            let at = (self.now + self.latency(n, other)).max(behind);
            let _ = self.told(number, 1 - side, Told::Closed(Closing::Reset(RESET)), at);
        }
    }

    pub(super) fn forget(&mut self, number: u64) {
        if self.tcps.get(&number).is_some_and(|tcp| tcp.ends.iter().all(|end| !end.open)) {
            self.tcps.remove(&number);
        }
    }

    /// Sends what is not acknowledged.
    pub(super) fn transmit(&mut self, number: u64, side: usize) {
        let Some(tcp) = self.tcps.get(&number) else { return };
        let (n, other) = (tcp.ends[side].node, tcp.ends[1 - side].node);
        let there = self.nodes[n].powered && self.nodes[other].powered && self.passes(n, other);
        let back = self.passes(other, n);
        let latency = self.latency(n, other);
        let Some(tcp) = self.tcps.get_mut(&number) else { return };
        let flow = &mut tcp.flows[side];
        if flow.bytes.is_empty() && !flow.fin {
            flow.lost = None;
            return;
        }
        let mut arrives = Vec::new();
        if there {
            // Without an acknowledgement only what was sent first arrives.
            let new = flow.arrived == 0 || back;
            if new && flow.bytes.len() > flow.arrived {
                arrives.push(Told::Bytes(flow.bytes[flow.arrived..].to_vec()));
                flow.arrived = flow.bytes.len();
            }
            if flow.fin && back {
                arrives.push(Told::Closed(Closing::Ended));
            }
            flow.arrival = flow.arrival.max(self.now + latency);
        }
        let at = flow.arrival;
        if there && back {
            (flow.arrived, flow.lost, flow.fin) = (0, None, false);
            flow.bytes.clear();
        } else {
            let (since, times) = flow.lost.unwrap_or((self.now, 0));
            flow.lost = Some((since, times + 1));
            if let Some(later) = AGAIN.get(times) {
                self.schedule(
                    (since + later).max(self.now + 1),
                    n,
                    SimEvent::Packet(number, Packet::Again(side)),
                );
            }
        }
        for told in arrives {
            let _ = self.told(number, 1 - side, told, at);
        }
    }

    /// A node's process is gone. With power its system closes what it had.
    pub fn sockets_gone(&mut self, n: usize, powered: bool) {
        self.nodes[n].powered = powered;
        self.nodes[n].listens = None;
        let mine = |tcp: &Tcp| (0..2).find(|side| tcp.ends[*side].node == n && tcp.ends[*side].open);
        let all: Vec<_> = self.tcps.iter().filter_map(|(number, tcp)| Some((*number, mine(tcp)?))).collect();
        for (number, side) in all {
            if let Some(tcp) = self.tcps.get_mut(&number) {
                tcp.ends[side].open = false;
                tcp.ends[side].inbox.clear();
            }
            if !self.tcps.get(&number).is_some_and(|tcp| tcp.established) {
                self.tcps.remove(&number);
            } else if powered && self.nodes[n].rng.chance(50) {
                self.send_end(number, side);
            } else if powered {
                self.send_reset(number, side);
            }
            self.forget(number);
        }
    }

    /// The connection between two nodes breaks in the middle of its next message.
    pub fn break_next(&mut self, a: usize, b: usize) {
        let between = |tcp: &&mut Tcp| {
            let nodes = [tcp.ends[0].node, tcp.ends[1].node];
            tcp.established && (nodes == [a, b] || nodes == [b, a])
        };
        if let Some(tcp) = self.tcps.values_mut().find(between) {
            tcp.breaks = true;
        }
    }
}
