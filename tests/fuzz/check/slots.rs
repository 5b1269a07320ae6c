//! The decoder and the judging of one slot.

use uo2cb_core::heartbeat::disk::{Block, Found, Own, Slot, Verdict};

use super::bytes::{Bytes, SLOT, corrupt, decode};
use super::history::History;

/// Own slots: what is said must follow from the fields alone, in this order.
fn own(last: (u64, u64), node: u8, found: &Found) -> Own {
    let Block { seq, node: other, generation, .. } = found.block;
    match () {
        () if last.0 == 0 => Own::First,
        () if other != node => Own::OtherNode,
        () if generation != last.1 => Own::Generation,
        () if seq != last.0 => Own::Seq,
        () => Own::Good,
    }
}

/// An input: the dead threshold, then what happens to the slot from sample to sample.
pub fn slots(input: &[u8]) {
    let mut input = Bytes::new(input);
    let dead_threshold = 3 + input.below(6) as u32;
    let (mut bytes, mut slot, mut history) = ([0; SLOT], Slot::default(), History::default());
    while let Some(op) = input.op() {
        match op % 16 {
            0 => {
                let found = decode(&bytes);
                slot.populate(&found);
                history.populate(&found);
            }
            1 => {
                let short = input.below(28);
                assert!(!Block::decode(&bytes[..short]).good, "good, with {short} bytes");
            }
            2..6 => {}
            _ => corrupt(&mut bytes, 1, &mut input),
        }
        let (found, before) = (decode(&bytes), slot);
        let node = input.below(3) as u8;
        assert_eq!(slot.check_own(node, &found), own(history.last, node, &found), "own slot");
        let news = found.good && history.last != (found.block.seq, found.block.generation);
        assert_eq!(slot.changed_by(&found), news, "news");
        let expected = history.judge(&found, dead_threshold);
        let idle = slot.idle(&bytes);
        let verdict = slot.judge(&found, dead_threshold);
        // It might as well have been left out: all that is different cannot be delivered from now on.
        assert!(!idle || verdict == Verdict::Same, "idle");
        if idle && input.below(2) == 1 {
            slot = before;
        }
        assert_eq!(verdict, expected, "verdict");
        match verdict {
            Verdict::Same => assert_eq!(slot.live(), before.live()),
            Verdict::Joined => assert!(!before.live() && slot.live(), "joined twice"),
            Verdict::Left(_) => assert!(before.live() && !slot.live(), "left twice"),
        }
        if !found.good && !before.live() {
            assert_eq!(slot, before, "taken from a block with a wrong checksum");
        }
        assert_eq!(slot.live(), history.live());
    }
}
