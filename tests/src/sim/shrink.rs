//! Shrinks a plan that fails to a smaller one that violates the same invariant.

use uo2cb_test_support::shrink;

use super::faults::Plan;
use super::invariants::Violation;
use super::world;

/// Leaves out faults, then nodes and regions, while the same invariant is violated.
pub fn shrink(mut plan: Plan, violation: &Violation) -> Plan {
    let fails =
        |plan: &Plan| matches!(world::run(plan), Err(found) if found.invariant == violation.invariant);
    loop {
        let before = plan.clone();
        plan.faults = shrink::shrink(plan.faults.clone(), |faults| {
            fails(&Plan { faults: faults.into(), ..plan.clone() })
        });
        for smaller in [
            Plan { nodes: plan.nodes.saturating_sub(1).max(2), ..plan.clone() },
            Plan { regions: plan.regions.saturating_sub(1).max(1), ..plan.clone() },
        ] {
            if smaller != plan && fails(&smaller) {
                plan = smaller;
            }
        }
        if plan == before {
            return plan;
        }
    }
}
