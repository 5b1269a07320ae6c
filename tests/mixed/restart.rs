//! Nodes that come back before anybody has missed them, and that do not agree on when a node is dead.

use std::path::Path;
use std::time::{Duration, Instant};

use uo2cb_tests::guest::Error;

use crate::cluster::Cluster;
use crate::events::Side;
use crate::peer::Peer;
use crate::world::World;

/// Four minutes: nobody is declared dead for silence while a guest boots.
const OURS: u32 = 121;
const THEIRS: u32 = 120;

/// Runs it. Gives what was wrong.
pub(crate) fn run(name: &str, uo2cb: &Path, cluster: Cluster) -> Result<Vec<String>, Error> {
    let Cluster { ours: our_num, theirs: their_num } = cluster;
    let mut world = World::new(name, uo2cb, cluster)?;
    let mut ours = world.start_ours(OURS)?;
    let (_, took) = ours.join(&world.image)?;
    world.figures.time("ours starts, steady after", took, 4..=4);
    // Behind the other worlds' guests, whose stories are longer.
    let mut peer = world.boot(THEIRS)?;
    peer.join()?;
    ours.until(their_num, true, 0)?;
    world.both_list_both(&mut ours, &mut peer)?;
    world.dump_is_what_the_kernel_reads(&mut peer)?;

    // Killed, and back with another generation before the kernel's next beat or soon after.
    let (old, told) = (world.generation(our_num)?, peer.so_far()?);
    ours.kill()?;
    ours = world.start_ours(OURS)?;
    let (begin, took) = ours.join(&world.image)?;
    let back = Back { name: "ours", node: our_num, begin, took, old, told };
    back.seen_by(&mut world, &mut peer)?;
    world.both_list_both(&mut ours, &mut peer)?;
    complaints(&mut world, &mut peer, [2, 2])?;

    let (old, told) = (world.generation(their_num)?, ours.so_far()?);
    peer.kill();
    peer = world.boot(THEIRS)?;
    let (begin, took) = peer.join()?;
    let back = Back { name: "the kernel", node: their_num, begin, took, old, told };
    back.seen_by(&mut world, &mut ours)?;
    world.both_list_both(&mut ours, &mut peer)?;
    // The kernel's log has begun anew.
    complaints(&mut world, &mut peer, [3, 1])?;
    Ok(world.conclude())
}

/// A node that has come back.
struct Back {
    name: &'static str,
    node: u8,
    /// When it began to join, and how long until it was steady.
    begin: Instant,
    took: Duration,
    /// Its generation until then.
    old: String,
    /// How many events the other side had told of.
    told: usize,
}

impl Back {
    /// The other side has it down and up again, because of its generation.
    fn seen_by(self, world: &mut World, other: &mut dyn Side) -> Result<(), Error> {
        let Self { name, node, begin, took, old, told } = self;
        world.figures.time(&format!("{name} is back, steady after"), took, 3..=4);
        let down = other.until(node, false, told)?;
        // The first block of the new generation says it.
        world.figures.between(&format!("{name} is back, seen to have restarted after"), begin, down, 0..=1);
        let up = other.until(node, true, told)?;
        // That block was a change, so the next one makes it live again; two beats when both beat together.
        world.figures.between(&format!("{name} is back, live again after"), down, up, 1..=2);
        let new = world.generation(node)?;
        world.figures.so(&format!("{name} is back with a new generation"), new != old);
        let restarted = other.restarted(node, [&old, &new])?;
        world.figures.so(&format!("{name} was down for its new generation, not for silence"), restarted);
        Ok(())
    }
}

/// So many times has ours complained about the other's dead threshold, and the kernel about ours: in the same words,
/// each time the other has become live.
fn complaints(world: &mut World, peer: &mut Peer, expected: [usize; 2]) -> Result<(), Error> {
    let Cluster { ours, theirs } = world.cluster;
    let about = |node: u8, device: &str, theirs: u32, ours: u32| {
        let counts = [theirs, ours].map(|threshold| threshold * 2000);
        let [theirs, ours] = counts;
        format!("Node {node} on device {device} has a dead count of {theirs} ms, but our count is {ours} ms.")
    };
    let advice = "Please double check your configuration values for 'O2CB_HEARTBEAT_THRESHOLD'";
    let complaint = format!("{} {advice}", about(theirs, "image", THEIRS, OURS));
    let by_ours = world.log().matches(&complaint).count();
    let complaint = about(ours, "vda", OURS, THEIRS);
    // Two lines there.
    let log = peer.log()?;
    let pairs = log.iter().zip(log.iter().skip(1));
    let by_kernel =
        pairs.filter(|(line, next)| line.text.ends_with(&complaint) && next.text.ends_with(advice)).count();
    world.figures.same("complaints", &format!("{:?}", [by_ours, by_kernel]), &format!("{expected:?}"));
    Ok(())
}
