//! From a long list that fails to a short one that fails.

use crate::ops::Op;

/// Drops ever smaller stretches, as long as what is left still fails.
pub(crate) fn shrink(mut ops: Vec<Op>, fails: impl Fn(&[Op]) -> bool) -> Vec<Op> {
    loop {
        let before = ops.len();
        let mut length = ops.len().max(1);
        while length > 0 {
            let mut at = 0;
            while at < ops.len() {
                let mut shorter = ops.clone();
                shorter.drain(at..(at + length).min(ops.len()));
                if fails(&shorter) {
                    ops = shorter;
                } else {
                    at += length;
                }
            }
            length /= 2;
        }
        if ops.len() == before {
            return ops;
        }
    }
}
