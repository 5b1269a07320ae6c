//! Anything in other nodes' slots.

use uo2cb::core::heartbeat::disk::Block;
use uo2cb_tests::poll::until;
use uo2cb_tests::rng::Rng;

use crate::daemon::Daemon;
use crate::device::{Device, Place};

const PLACE: Place = Place { start_block: 9, block_bytes: 512, blocks: 200 };
const GENERATION: u64 = 0xabcd_ef01;

/// This test writes the blocks of node 1, and random bytes into the slots of nodes 2 and 3 and of numbers that are not
/// configured.
pub(crate) fn overwritten() {
    let device = Device::new(1 << 18, 512);
    let mut daemon = Daemon::new(0, 31);
    let mut rng = Rng::new(7);
    assert_eq!(daemon.start(PLACE, &device.open()).0, Ok(()));
    let log = daemon.log();
    // Called right behind a beat, it returns right behind the next one, which has seen what was written.
    let mut beat = |write: &dyn Fn()| {
        for node in [2, 3, 50, 199] {
            let noise: Vec<u8> = (0..512).map(|_| rng.number() as u8).collect();
            device.overwrite(PLACE, node, &noise);
        }
        write();
        let before = device.slot(PLACE, 0);
        until("a beat", || device.slot(PLACE, 0) != before);
    };
    let block = |seq, dead_ms| Block { seq, node: 1, generation: GENERATION, dead_ms };
    let put = |block| device.put(PLACE, 1, block);
    beat(&|| {});
    assert_eq!(daemon.log(), log, "noise of nodes that are not live");
    beat(&|| put(block(1000, 62_000)));
    assert_eq!(daemon.up(), [0], "once is not enough");
    // Backwards, and with another dead threshold.
    beat(&|| put(block(900, 8000)));
    daemon.until_up(&[0, 1]);
    daemon.until_line("has a dead count of 8000 ms, but our count is 62000 ms");
    // Any number, with its checksum right: not looked at, as in the kernel.
    beat(&|| put(Block { node: 77, ..block(901, 8000) }));
    // A wrong checksum is one sample missed.
    beat(&|| device.overwrite(PLACE, 1, &[0xa5; 512]));
    daemon
        .until_line(&format!("Node 1 has written a bad crc to {}: seq = 0xa5a5a5a5a5a5a5a5", device.name()));
    assert_eq!(daemon.up(), [0, 1]);
    beat(&|| put(block(1, 8000)));
    assert_eq!(daemon.up(), [0, 1]);
    // Zeros have a good checksum: generation 0 is a clean stop. Then the next change is the second one.
    beat(&|| device.overwrite(PLACE, 1, &[0; 512]));
    daemon.until_up(&[0]);
    beat(&|| put(block(2, 62_000)));
    daemon.until_up(&[0, 1]);
    beat(&|| put(Block { generation: 0, ..block(3, 62_000) }));
    daemon.until_up(&[0]);
    // A line for what was wrong, and none for slots that are not judged.
    for (words, lines) in
        [("bad crc", 1..=1), ("dead count", 1..=1), ("on device (", 0..=0), ("failed", 0..=0)]
    {
        assert!(lines.contains(&daemon.lines(words)), "{words}: {}", daemon.log());
    }
    assert!(daemon.runs());
}
