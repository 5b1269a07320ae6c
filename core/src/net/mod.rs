//! o2net: the messages between nodes (`spec/o2net.md`). So far their bytes.

pub mod wire;
