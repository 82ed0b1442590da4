//! The proxy as its users run it: the real program between raw clients and scripted backends, its capture
//! read back.

#![allow(clippy::unwrap_used, reason = "a test stops where its scene does not hold")]

mod backend;
mod certificates;
mod http2_client;
mod client;
mod proxy;
mod tls_client;
mod wait;

mod buffering;
mod clients;
mod routes;
mod websocket;
mod command_line;
mod crash;
mod endings;
mod http2;
mod limits;
mod load;
mod proxy_protocol;
mod recording;
mod reload;
mod stages;
mod tls;
mod upgrade;
mod upstreams;
