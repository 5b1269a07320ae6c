//! Nodes with the method `user`: userspace says by links who is there, and decides; there is no quorum, and nobody fences.

use uo2cb_core::View;
use uo2cb_core::tree::{Object, Op};

use super::invariants::{Checked, broken, check};
use super::node::{NodeEvent, Purpose};
use super::world::World;
use super::{MS, SEC};

const REGION: &str = "cluster/c/heartbeat/R0";

impl World {
    /// Makes the region; links come within some seconds, the own one first.
    pub fn boot_user(&mut self, n: usize) -> Checked {
        self.mkdir(n, REGION)?;
        let Some(Object::Dir(item)) = self.find(n, View::Config, REGION) else {
            return Err(broken("setup", format!("no {REGION}")));
        };
        let (nodes, incarnation) = (self.plan.nodes, self.nodes[n].incarnation);
        self.nodes[n].regions[0].item = Some(item);
        for num in 0..nodes {
            let wait = if num == self.nodes[n].own { 0 } else { self.nodes[n].rng.below(20 * SEC) };
            self.schedule_after(MS + wait, n, incarnation, NodeEvent::Link(num, true));
        }
        Ok(())
    }

    /// Userspace says that a node is there, or that it is gone.
    pub fn link(&mut self, n: usize, num: u8, there: bool) -> Checked {
        let node = &mut self.nodes[n];
        let Some(dir) = node.regions[0].item.filter(|_| !node.ending) else { return Ok(()) };
        if node.live.all().any(|live| live == num) == there {
            return Ok(());
        }
        let edge = if there { node.live.join(num) } else { node.live.leave(num) };
        node.expected.extend(edge);
        let request = node.request(Purpose::Link);
        let name = format!("n{num}");
        let Some(target) = self.find(n, View::Config, &format!("cluster/c/node/{name}")) else {
            return Err(broken("setup", format!("no {name}")));
        };
        let name = name.as_bytes();
        let op = if there { Op::Symlink { dir, name, target: Ok(target) } } else { Op::Unlink { dir, name } };
        self.tree(n, request, View::Config, op)
    }

    /// Every node has the links that it made, none is lost or kept by the network.
    pub fn check_links(&self) -> Checked {
        for (n, node) in self.nodes.iter().enumerate() {
            let all = node.live.all().eq(0..self.plan.nodes);
            check(
                node.engine.is_some() && all && node.requests.is_empty(),
                "all live and steady at the end",
                || format!("node {n}: {:?}, waits for {:?}", node.live, node.requests),
            )?;
        }
        Ok(())
    }
}
