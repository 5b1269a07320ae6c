//! Nodes that come back before anybody has missed them, and that do not agree on when a node is dead.

use std::path::Path;

use uo2cb_tests::guest::Error;

use crate::cluster::Cluster;
use crate::events::Side as _;
use crate::peer::Peer;
use crate::world::World;

/// A minute: nobody is declared dead for silence while a guest boots.
const OURS: u32 = 31;
const THEIRS: u32 = 30;

/// Runs it. Gives what was wrong.
pub(crate) fn run(name: &str, uo2cb: &Path, cluster: Cluster) -> Result<Vec<String>, Error> {
    let Cluster { ours: our_num, theirs: their_num } = cluster;
    let mut world = World::new(name, uo2cb, cluster)?;
    let mut peer = world.boot(THEIRS)?;
    let mut ours = world.start_ours(OURS)?;
    let (_, took) = ours.join(&world.image)?;
    world.figures.time("ours starts, steady after", took, 4..=4);
    peer.join()?;
    ours.until(their_num, true, 0)?;
    world.both_list_both(&mut ours, &mut peer)?;
    world.dump_is_what_the_kernel_reads(&mut peer)?;

    // Killed, and back with another generation before the kernel's next beat or soon after.
    let (old, told) = (world.generation(our_num)?, peer.so_far()?);
    ours.kill()?;
    ours = world.start_ours(OURS)?;
    let (begin, took) = ours.join(&world.image)?;
    world.figures.time("ours is back at once, steady after", took, 3..=4);
    let down = peer.until(our_num, false, told)?;
    // The first block of the new generation says it.
    world.figures.between("ours is back, seen to have restarted after", begin, down, 0..=1);
    let up = peer.until(our_num, true, told)?;
    // That block was a change, so the next one makes it live again; two beats when both beat together.
    world.figures.between("ours is back, live again after", down, up, 1..=2);
    world.figures.so("our generation is a new one", world.generation(our_num)? != old);
    world.both_list_both(&mut ours, &mut peer)?;

    complaints(&mut world, &mut peer, [2, 2])?;

    let (old, told) = (world.generation(their_num)?, ours.so_far()?);
    peer.kill();
    peer = world.boot(THEIRS)?;
    let (begin, took) = peer.join()?;
    world.figures.time("the kernel is back, steady after", took, 3..=4);
    let down = ours.until(their_num, false, told)?;
    world.figures.between("the kernel is back, seen to have restarted after", begin, down, 0..=1);
    let up = ours.until(their_num, true, told)?;
    world.figures.between("the kernel is back, live again after", down, up, 1..=2);
    world.figures.so("its generation is a new one", world.generation(their_num)? != old);
    world.both_list_both(&mut ours, &mut peer)?;
    // The kernel's log has begun anew.
    complaints(&mut world, &mut peer, [3, 1])?;
    Ok(world.conclude())
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
