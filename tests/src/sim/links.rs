//! The ways between nodes, and what is wrong with them.

use super::faults::{Fault, Filter};
use super::world::World;
use super::{MS, Us};

impl World {
    /// Does what `from` sends reach `to` now?
    pub fn passes(&self, from: usize, to: usize) -> bool {
        !self.plan.faults.iter().any(|fault| match *fault {
            Fault::Cut { from: a, to: b, at, end } => {
                (usize::from(a), usize::from(b)) == (from, to) && (at..end).contains(&self.now)
            }
            Fault::Partition { group, at, end } => {
                let inside = |n: usize| group >> n & 1 == 1;
                inside(from) != inside(to) && (at..end).contains(&self.now)
            }
            _ => false,
        })
    }

    /// How long it takes.
    pub fn latency(&mut self, from: usize, to: usize) -> Us {
        let delay = self.plan.faults.iter().filter_map(|fault| match *fault {
            Fault::Delay { from: a, to: b, at, end, delay }
                if (usize::from(a), usize::from(b)) == (from, to) && (at..end).contains(&self.now) =>
            {
                Some(delay)
            }
            _ => None,
        });
        let delay = delay.max().unwrap_or(0);
        delay + MS / 20 + self.nodes[from].rng.below(MS)
    }

    /// What becomes of attempts of a node to connect to an address.
    pub fn filter(&self, from: usize, to: [u8; 4]) -> Option<Filter> {
        self.plan.faults.iter().find_map(|fault| match *fault {
            Fault::Filtered { node, at, end, filter }
                if node == to[3] && usize::from(node) != from && (at..end).contains(&self.now) =>
            {
                Some(filter)
            }
            _ => None,
        })
    }
}
