//! The resolver under real callers.

mod compare;
mod measure;
mod plain;
mod rights;
mod served;
mod spaces;
