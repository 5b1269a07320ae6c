//! What must hold at the end, some time after the last fault.

use uo2cb_core::net::PeerPhase;

use super::faults::{Fault, Misconfiguration};
use super::invariants::{Checked, broken, check};
use super::world::World;

impl World {
    /// After some time without faults every node sees every node live, and no request waits.
    pub fn check_end(&mut self) -> Checked {
        if self.plan.user {
            self.check_links()?;
            return self.check_connected();
        }
        let wrong = |fault: &Fault| matches!(fault, Fault::Config { wrong: Misconfiguration::Number(_), .. });
        let fail = |found: String| broken("all live and steady at the end", found);
        let shared_slot = self.plan.faults.iter().any(wrong);
        for (n, node) in self.nodes.iter().enumerate() {
            if shared_slot {
                continue;
            }
            let Some(engine) = &node.engine else { return Err(fail(format!("node {n} does not run"))) };
            if u32::from(node.own) >= node.blocks {
                continue;
            }
            if !node.requests.is_empty() || engine.waiting() > 0 {
                return Err(fail(format!("node {n} waits for {:?}", node.requests)));
            }
            for (at, region) in node.regions.iter().enumerate() {
                let Some(run) = region.run.as_ref().filter(|run| run.steady) else {
                    return Err(fail(format!("node {n} region {at} is not steady")));
                };
                let has_slot = |num: usize| self.nodes[num].blocks as usize > num;
                let missing = run.slots.iter().enumerate().find(|(num, slot)| slot.live != has_slot(*num));
                if let Some((num, _)) = missing {
                    return Err(fail(format!("node {n} has the wrong state of {num} in region {at}")));
                }
            }
        }
        if shared_slot { Ok(()) } else { self.check_connected() }
    }

    /// Nothing in the configurations of two nodes keeps them apart.
    fn fit(&self, a: usize, b: usize) -> bool {
        let (one, other) = (&self.nodes[a], &self.nodes[b]);
        let stranger = |fault: &Fault| match *fault {
            Fault::Config { node, wrong: Misconfiguration::Address(of) } => {
                [(a, b), (b, a)].contains(&(node.into(), of.into()))
            }
            _ => false,
        };
        let has_slot = |n: usize| self.nodes.iter().all(|node| node.blocks as usize > n);
        one.dead_threshold == other.dead_threshold
            && !one.own_times_differ
            && !other.own_times_differ
            && has_slot(a)
            && has_slot(b)
            && !self.plan.faults.iter().any(stranger)
    }

    /// Every node is connected to every other one that fits, by one connection, and holds none of them.
    fn check_connected(&self) -> Checked {
        let all = 0..self.nodes.len();
        for a in all.clone() {
            let Some(engine) = &self.nodes[a].engine else { continue };
            let status = engine.status();
            let held = status.quorum.map(|quorum| quorum.holds).unwrap_or_default();
            for b in all.clone().filter(|b| *b != a && self.fit(a, *b)) {
                let peer = status.peers.iter().find(|peer| usize::from(peer.num.get()) == b);
                let connected =
                    peer.is_some_and(|peer| peer.phase == PeerPhase::Connected && peer.requests == 0);
                let held = held.iter().any(|hold| usize::from(hold.node.get()) == b);
                check(connected && !held, "all connected at the end", || {
                    format!("node {a}: {peer:?}, held: {held}")
                })?;
            }
        }
        Ok(())
    }
}
