//! The proxy as its users run it: the real program between raw clients and scripted backends, its capture
//! read back.

#![allow(clippy::unwrap_used, reason = "a test stops where its scene does not hold")]

mod backend;
mod certificates;
mod client;
mod http2_client;
mod load;
mod proxy;
mod tls_client;
mod wait;

mod admin;
mod buffering;
mod clients;
mod command_line;
mod crash;
mod disk;
mod endings;
mod http2;
mod limits;
mod proxy_protocol;
mod recording;
mod reload;
mod routes;
mod shadow;
mod split;
mod stages;
mod tls;
mod upgrade;
mod upstreams;
mod users;
mod websocket;
