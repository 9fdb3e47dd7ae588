//! se
