//! What a run measured, and the machine-readable report of it (schema: `replayer/schemas/run.json`).

pub mod run;
