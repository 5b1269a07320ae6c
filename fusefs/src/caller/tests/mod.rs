//! The resolver under real callers.

mod compare;
mod measure;
mod plain;
mod served;
mod spaces;
