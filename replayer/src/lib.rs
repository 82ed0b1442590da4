//! `kingtide`: capture → plan → schedule → drive → measure → report.
//!
//! A module per arrow: [`sessions`] groups a capture into users and finds what must be bound,
//! [`plan`] amplifies them into intended instants, [`drive`] sends on time, [`measure`] keeps the four
//! instants of every sample, [`report`] says what they mean. [`import`] makes captures of other programs'
//! recordings, [`model`] makes sessions without a capture, [`seeds`] says what several runs say together, [`compare`]
//! what is different between two, [`assessment`] how good one was. `sessions`,
//! `plan`, `model`, `seeds` and `statistics` are
//! pure: no clock, no socket, no randomness but the seed.

pub mod alert;
pub mod assessment;
pub mod audit;
pub mod bottleneck;
pub mod capacity;
pub mod cli;
mod columns;
pub mod compare;
pub mod configs;
pub mod destination;
pub mod drive;
pub mod edit;
pub mod environment;
pub mod export;
pub mod guard;
pub mod headroom;
pub mod identities;
pub mod import;
pub mod inspect;
pub mod measure;
pub mod model;
pub mod monitor;
pub mod plan;
pub mod preflight;
pub mod report;
pub mod rows;
pub mod scenario;
pub mod seeds;
pub mod selection;
pub mod sessions;
pub mod statistics;
pub mod store;
pub mod thresholds;
pub mod unfinished;
