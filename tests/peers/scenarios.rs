//! What a node must do with each kind of peer. Named by what the peer does.

mod accepting;
mod alone;
mod connecting;
mod floods;
mod handshakes;
mod messages;
mod silence;
mod tree;

use uo2cb_tests::guest::Error;

use crate::world::World;

/// A scenario: its name, and what it does. Before and after it the subject has no connection; node 6 is alive, nobody
/// else is.
pub(crate) type Scenario = (&'static str, fn(&mut World) -> Result<(), Error>);

/// All, in their order.
pub(crate) fn all() -> Vec<Scenario> {
    let tame = [accepting::ALL, handshakes::ALL, messages::ALL, tree::ALL, silence::ALL, connecting::ALL];
    [tame.concat(), [floods::ALL, alone::ALL].concat()].concat()
}

/// The node that is alive in all of them.
pub(crate) const PEER: u8 = 6;

const LOST: &str = "o2net: No longer connected to node n6 (num 6) at 10.9.0.6:7777";
const SHUTDOWN: &str = "o2net: Connection to node n6 (num 6) at 10.9.0.6:7777 shutdown, state ";

/// Both lines of a connection that the peer has ended, by FIN (8) or RST (7).
fn ended(world: &World, state: u8) -> Result<(), Error> {
    world.sees(&format!("{SHUTDOWN}{state}"))?;
    world.sees(LOST)?;
    Ok(())
}
