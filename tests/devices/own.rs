//! Another writer in the own slot.

use uo2cb::core::heartbeat::disk::Block;
use uo2cb_tests::poll::until;

use crate::daemon::{Daemon, about};
use crate::device::{Device, Place};

const PLACE: Place = Place { start_block: 2, block_bytes: 512, blocks: 8 };

/// Each of the kernel's messages, once for each overwritten slot; the next beat is good.
pub(crate) fn overwritten() {
    let device = Device::new(1 << 16, 512);
    let mut daemon = Daemon::new(0, 31);
    assert_eq!(daemon.start(PLACE, &device.open()).0, Ok(()));
    let beat = || {
        let before = device.slot(PLACE, 0);
        until("a beat", || device.slot(PLACE, 0) != before);
        device.slot(PLACE, 0)
    };
    let name = device.name();
    let (old, mut ours) = (beat(), beat());
    for (what, words) in [
        ("node", "Another node is heartbeating on device"),
        ("generation", "Heartbeat generation mismatch on device"),
        ("old block", "Heartbeat sequence mismatch on device"),
        ("zeros", "Heartbeat generation mismatch on device"),
        ("checksum", ""),
    ] {
        let expected = Block::decode(&ours).block;
        let lines = daemon.lines("on device (");
        let mut slot = vec![0; 512];
        match what {
            "node" => Block { node: 9, ..expected }.encode(&mut slot),
            "generation" => Block { generation: 0x1122_3344_5566_7788, ..expected }.encode(&mut slot),
            "old block" => slot.clone_from(&old),
            "zeros" => {}
            _ => {
                slot.clone_from(&ours);
                slot[12] ^= 1;
            }
        }
        device.overwrite(PLACE, 0, &slot);
        let found = Block::decode(&slot).block;
        ours = beat();
        assert_eq!(Block::decode(&ours).block.generation, expected.generation, "{what}");
        let triple = |block: Block| format!("({}:{:#x}, {:#x})", block.node, block.generation, block.seq);
        if words.is_empty() {
            assert_eq!(daemon.lines("on device ("), lines, "the kernel does not look at the checksum");
            continue;
        }
        daemon.until_line(&format!(
            "{words} ({name}): expected{}, ondisk{}",
            triple(expected),
            triple(found)
        ));
        assert_eq!(daemon.lines("on device ("), lines + 1, "{what}: {}", daemon.log());
    }
    beat();
    assert_eq!(daemon.lines("on device ("), 4);
    assert!(daemon.runs() && daemon.up() == [0]);
}

/// Beside another node the first one loses its slot and goes, and the second one has it. Alone it would give itself time,
/// as kernels do.
pub(crate) fn twice() {
    let device = Device::new(1 << 16, 512);
    let (mut first, mut second) = (Daemon::new(1, 3), Daemon::new(1, 3));
    let _beside = device.beside(PLACE, 0, 3);
    assert_eq!(first.start(PLACE, &device.open()).0, Ok(()));
    let (result, took) = second.start(PLACE, &device.open());
    assert_eq!(first.exit_status(), Some(uo2cb::CRASH_STATUS));
    assert!(first.lines("Heartbeat generation mismatch on device") > 0, "{}", first.log());
    assert!(second.lines("Heartbeat generation mismatch on device") > 0, "{}", second.log());
    assert_eq!(result, Ok(()), "{}", second.log());
    // As from any old slot, and later by the beats that are bad until the first one has gone.
    about("steady in spite of another", took, 6.0, 12.0);
    assert!(second.runs() && second.up() == [0, 1]);
}
