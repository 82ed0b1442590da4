//! Limits of the edge: pure rules with Nginx's names and semantics; who asks them stands in `exchange`,
//! `relay` and `http1`.

pub(crate) mod connections;
pub(crate) mod header_buffers;
mod keys;
mod names;
pub(crate) mod rate;

pub(crate) use keys::{Key, Keys};
pub(crate) use names::{LimitName, LimitSet};
