//! To be filled by its first change.
