//! The verifier, held against tokens a counter would sign and tokens it never would.

mod chain;
mod codes;
mod counter;
mod details;
mod jose;
mod settings;
