//! Faults of the network that a plan draws.

use super::faults::{FIRST_FAULT, Fault, Filter, Plan, RECOVERY};
use super::{MS, SEC, Us};
use crate::rng::Rng;

impl Fault {
    /// From when to when; none: always.
    pub fn span(&self) -> Option<(Us, Us)> {
        match *self {
            Self::Crash { at, restart_at: end, .. }
            | Self::Shutdown { at, restart_at: end, .. }
            | Self::Pause { at, end, .. }
            | Self::Slow { at, end, .. }
            | Self::Clock { at, end, .. }
            | Self::Disk { at, end, .. }
            | Self::Cut { at, end, .. }
            | Self::Partition { at, end, .. }
            | Self::Delay { at, end, .. }
            | Self::Filtered { at, end, .. }
            | Self::Leave { at, end, .. } => Some((at, end)),
            Self::Recreate { at, wait, .. } => Some((at, at + wait)),
            Self::ClockJump { at, .. } => Some((at, at)),
            // Whenever the next message is sent.
            Self::Break { at, .. } => Some((at, Us::MAX)),
            Self::Config { .. } => None,
        }
    }
}

impl Plan {
    /// Are there ways that are cut?
    pub fn cuts_network(&self) -> bool {
        self.faults.iter().any(|fault| {
            matches!(
                fault,
                Fault::Cut { .. } | Fault::Partition { .. } | Fault::Filtered { .. } | Fault::Break { .. }
            )
        })
    }

    /// A cluster whose userspace decides, with faults of nodes and of the network.
    pub fn decided_by_users(&mut self, rng: &mut Rng) {
        (self.user, self.regions, self.global) = (true, 1, false);
        for _ in 0..1 + rng.below(8) {
            match rng.below(4) {
                0 => {
                    let kind = [0, 3, 4, 7, 8][rng.below(5) as usize];
                    let fault = self.fault(rng, kind);
                    self.faults.push(fault);
                }
                1 => {
                    let [node, other] = [0; 2].map(|_: u8| rng.below(self.nodes.into()) as u8);
                    let at = FIRST_FAULT + rng.below(self.length - RECOVERY - FIRST_FAULT);
                    self.faults.push(Fault::Leave { node, other, at, end: at + MS + rng.below(60 * SEC) });
                }
                _ => {
                    let kind = 27 + rng.below(13);
                    self.network(rng, kind);
                }
            }
        }
    }

    /// One cut of the network that stays for long, and nothing else.
    pub fn one_cut(&mut self, rng: &mut Rng) {
        let at = 100 * SEC + rng.below(60 * SEC);
        let end = at + self.decision() + 5 * SEC + rng.below(30 * SEC);
        let (nodes, group) = (u64::from(self.nodes), rng.number() as u32);
        let pair = |rng: &mut Rng| (rng.below(nodes) as u8, rng.below(nodes) as u8);
        match rng.below(4) {
            0 | 1 => self.faults.push(Fault::Partition { group, at, end }),
            2 => {
                let groups = [group, rng.number() as u32];
                self.faults.extend(groups.map(|group| Fault::Partition { group, at, end }));
            }
            _ => {
                for _ in 0..=rng.below(4) {
                    let (from, to) = pair(rng);
                    self.faults.push(Fault::Cut { from, to, at, end });
                }
            }
        }
    }

    /// From the loss of a way until a node decides.
    pub fn decision(&self) -> Us {
        Us::from(self.times[0]) * MS + (Us::from(self.dead_threshold) + 2) * 2 * SEC
    }

    /// Adds a fault of the network, or several that belong together.
    pub fn network(&mut self, rng: &mut Rng, kind: u64) {
        let (a, b) = (rng.below(self.nodes.into()) as u8, rng.below(self.nodes.into()) as u8);
        let at = FIRST_FAULT + rng.below(self.length - RECOVERY - FIRST_FAULT);
        let longest = (self.length - RECOVERY - at).max(1);
        // Mostly about as long as it takes to decide, where the length matters.
        let length = match rng.below(10) {
            0..=3 => self.decision().saturating_sub(5 * SEC) + rng.below(10 * SEC),
            4..=6 => 10 * MS + rng.below(2 * Us::from(self.times[0]) * MS),
            _ => self.decision() + 15 * SEC + rng.below(40 * SEC),
        };
        let end = at + length.min(longest);
        let cut = |from, to| Fault::Cut { from, to, at, end };
        let group = rng.number() as u32;
        match kind {
            27..=29 => self.faults.push(Fault::Partition { group, at, end }),
            30 => self.faults.extend([group, rng.number() as u32].map(|group| Fault::Partition {
                group,
                at,
                end,
            })),
            31 => self.faults.push(Fault::Partition { group: 1 << a, at, end }),
            32..=33 => self.faults.push(cut(a, b)),
            34 => self.faults.extend([cut(a, b), cut(b, a)]),
            35 => {
                let (mut at, cut, pause) = (at, 100 * MS + rng.below(9 * SEC), 100 * MS + rng.below(9 * SEC));
                while at + cut < end && self.faults.len() < 40 {
                    self.faults.push(Fault::Partition { group: 1 << a, at, end: at + cut });
                    at += cut + pause;
                }
            }
            36 => {
                let delay = MS + rng.below(2 * SEC);
                self.faults.extend([(a, b), (b, a)].map(|(from, to)| Fault::Delay {
                    from,
                    to,
                    at,
                    end,
                    delay,
                }));
            }
            37..=38 => self.faults.push(Fault::Break { a, b, at }),
            _ => {
                let filter = [Filter::Drop, Filter::Refuse, Filter::NoRoute][rng.below(3) as usize];
                // Connections that are there go on: some have to be made again.
                self.faults.extend([
                    Fault::Filtered { node: a, at, end, filter },
                    Fault::Crash { node: b, at: at + SEC, restart_at: at + 6 * SEC },
                ]);
            }
        }
    }
}
