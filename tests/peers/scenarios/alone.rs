//! The subject is alone, and something is wrong.

use std::time::Duration;

use uo2cb_tests::guest::Error;

use super::{PEER, Scenario};
use crate::world::{SUBJECT, World};

pub(super) const ALL: &[Scenario] = &[("another writer has its slot while it is alone", second_writer)];

/// Its beats are not good, and it finds that the writes of all live nodes hang: so it gives itself time again and again,
/// and is not fenced.
fn second_writer(world: &mut World) -> Result<(), Error> {
    world.leave(PEER)?;
    world.mark();
    // The write timeout is 12 s.
    world.beats.spoil(SUBJECT, Duration::from_millis(400), Duration::from_secs(20));
    world.sees("Heartbeat generation mismatch on device (")?;
    for words in [
        "o2hb: node 5 hb write hung for 6s on region R1 (",
        "o2hb: all nodes hb write hung, maybe region R1 (",
    ] {
        let count = world.count(words);
        if !(2..=4).contains(&count) {
            return Err(format!("{count} lines {words:?}").into());
        }
    }
    world.never("Heartbeat write timeout")?;
    // As before.
    world.up(PEER)?;
    world.connected(PEER).map(drop)
}
