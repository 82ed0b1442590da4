//! Limits of the edge: Nginx's names, values and defaults, each with a mode.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use kingtide_common::units::{ByteSize, Span};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What a limit does when it is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// Refuse, as Nginx does.
    #[default]
    Enforce,
    /// Let pass, and record what would have been refused.
    Shadow,
    Off,
}

/// A limit: a value and what to do beyond it. Written as the value alone (`"1m"`), as `"off"`, or as
/// `{ value = "1m", mode = "shadow" }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit<T> {
    pub(crate) value: T,
    pub(crate) mode: Mode,
}

impl<T: Copy> Limit<T> {
    pub(crate) const fn enforced(value: T) -> Self {
        Self { value, mode: Mode::Enforce }
    }

    const fn off(value: T) -> Self {
        Self { value, mode: Mode::Off }
    }
}

/// `large_client_header_buffers 4 8k`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeaderBuffers {
    pub(crate) count: usize,
    pub(crate) size: ByteSize,
}

/// The limits of a route, or of the whole server where a route does not say otherwise.
///
/// What comes before a route is known (header time and sizes, keep-alive) is taken from `[limits]` only.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    pub(crate) client_max_body_size: Limit<ByteSize>,
    pub(crate) client_header_timeout: Limit<Span>,
    pub(crate) client_body_timeout: Limit<Span>,
    pub(crate) send_timeout: Limit<Span>,
    pub(crate) keepalive_timeout: Span,
    pub(crate) keepalive_requests: Limit<u64>,
    pub(crate) client_header_buffer_size: ByteSize,
    pub(crate) large_client_header_buffers: Limit<HeaderBuffers>,
    pub(crate) proxy_connect_timeout: Limit<Span>,
    pub(crate) proxy_send_timeout: Limit<Span>,
    pub(crate) proxy_read_timeout: Limit<Span>,
    pub(crate) limit_req: Vec<RequestRate>,
    pub(crate) limit_conn: Vec<Connections>,
}

/// What a route changes of `[limits]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RouteLimits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_max_body_size: Option<Limit<ByteSize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_body_timeout: Option<Limit<Span>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) send_timeout: Option<Limit<Span>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) proxy_connect_timeout: Option<Limit<Span>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) proxy_send_timeout: Option<Limit<Span>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) proxy_read_timeout: Option<Limit<Span>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit_req: Option<Vec<RequestRate>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit_conn: Option<Vec<Connections>>,
}

/// `limit_req zone=… burst=… nodelay`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestRate {
    pub(crate) zone: String,
    #[serde(default)]
    pub(crate) burst: u32,
    /// Requests over the rate that are not delayed; all of the burst with `nodelay`.
    #[serde(default)]
    pub(crate) delay: u32,
    #[serde(default)]
    pub(crate) nodelay: bool,
    #[serde(default = "refused_status")]
    pub(crate) status: u16,
    #[serde(default)]
    pub(crate) mode: Mode,
}

/// `limit_conn zone number`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[allow(clippy::struct_field_names, reason = "the key's name in the file")]
pub(crate) struct Connections {
    pub(crate) zone: String,
    /// Requests in progress at once.
    pub(crate) connections: u32,
    #[serde(default = "refused_status")]
    pub(crate) status: u16,
    #[serde(default)]
    pub(crate) mode: Mode,
}

/// What `limit_req` and `limit_conn` count: `limit_req_zone key zone=name:size rate=…`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Zone {
    pub(crate) name: String,
    pub(crate) key: ZoneKey,
    /// Required where `limit_req` names the zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<Rate>,
    /// Keys held at once; beyond it the one unused for longest is forgotten.
    #[serde(default = "Zone::keys_max")]
    pub(crate) keys_max: usize,
}

/// What tells one client of a zone from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ZoneKey {
    /// The client's address.
    Address,
    /// The value of a header.
    Header(String),
    /// The credential in `Authorization`.
    Token,
    /// One for all.
    Server,
}

/// Requests a second, in thousandths: `10r/s`, `30r/m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) per_1000_s: u64,
}

fn refused_status() -> u16 {
    503
}

impl Zone {
    fn keys_max() -> usize {
        100_000
    }
}

impl Default for Limits {
    /// Nginx's defaults, but for the body size: a recorder that refuses what it was not told to refuse would
    /// lose what it is there for.
    fn default() -> Self {
        let minute = Limit::enforced(Span(Duration::from_mins(1)));
        Self {
            client_max_body_size: Limit::off(ByteSize(0)),
            client_header_timeout: minute,
            client_body_timeout: minute,
            send_timeout: minute,
            keepalive_timeout: Span(Duration::from_secs(75)),
            keepalive_requests: Limit::enforced(1000),
            client_header_buffer_size: ByteSize(1 << 10),
            large_client_header_buffers: Limit::enforced(HeaderBuffers { count: 4, size: ByteSize(8 << 10) }),
            proxy_connect_timeout: minute,
            proxy_send_timeout: minute,
            proxy_read_timeout: minute,
            limit_req: Vec::new(),
            limit_conn: Vec::new(),
        }
    }
}

impl Limits {
    /// These limits with what a route says otherwise.
    pub(crate) fn for_route(&self, route: &RouteLimits) -> Self {
        Self {
            client_max_body_size: route.client_max_body_size.unwrap_or(self.client_max_body_size),
            client_body_timeout: route.client_body_timeout.unwrap_or(self.client_body_timeout),
            send_timeout: route.send_timeout.unwrap_or(self.send_timeout),
            proxy_connect_timeout: route.proxy_connect_timeout.unwrap_or(self.proxy_connect_timeout),
            proxy_send_timeout: route.proxy_send_timeout.unwrap_or(self.proxy_send_timeout),
            proxy_read_timeout: route.proxy_read_timeout.unwrap_or(self.proxy_read_timeout),
            limit_req: route.limit_req.clone().unwrap_or_else(|| self.limit_req.clone()),
            limit_conn: route.limit_conn.clone().unwrap_or_else(|| self.limit_conn.clone()),
            ..self.clone()
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written<T> {
    Plain(T),
    Moded(Moded<T>),
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Moded<T> {
    value: T,
    #[serde(default)]
    mode: Mode,
}

/// `"off"` keeps this value beside the mode, so that what is printed can be read again.
trait Unlimited {
    const VALUE: Self;
    const WANTED: &'static str;
    /// Nginx takes 0 for "no limit" where it says so.
    fn is_unlimited(&self) -> bool {
        false
    }
}

impl Unlimited for ByteSize {
    const VALUE: Self = Self(0);
    const WANTED: &'static str = "a size (\"1m\"), \"off\", or { value = \"1m\", mode = \"shadow\" }";

    fn is_unlimited(&self) -> bool {
        self.0 == 0
    }
}

impl Unlimited for Span {
    const VALUE: Self = Self(Duration::ZERO);
    const WANTED: &'static str = "a duration (\"60s\"), \"off\", or { value = \"60s\", mode = \"shadow\" }";
}

impl Unlimited for u64 {
    const VALUE: Self = 0;
    const WANTED: &'static str = "a number (1000), \"off\", or { value = 1000, mode = \"shadow\" }";
}

impl Unlimited for HeaderBuffers {
    const VALUE: Self = Self { count: 4, size: ByteSize(8 << 10) };
    const WANTED: &'static str =
        "number and size (\"4 8k\"), \"off\", or { value = \"4 8k\", mode = \"shadow\" }";
}

impl<'de, T: Deserialize<'de> + Unlimited> Deserialize<'de> for Limit<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum OffOr<T> {
            Off(Off),
            Written(Written<T>),
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Off {
            Off,
        }
        let written = OffOr::<T>::deserialize(deserializer);
        Ok(match written.map_err(|_| de::Error::custom(format!("expected {}", T::WANTED)))? {
            OffOr::Off(Off::Off) => Self { value: T::VALUE, mode: Mode::Off },
            OffOr::Written(Written::Plain(value) | Written::Moded(Moded { value, mode: Mode::Enforce }))
                if value.is_unlimited() =>
            {
                Self { value, mode: Mode::Off }
            }
            OffOr::Written(Written::Plain(value)) => Self { value, mode: Mode::Enforce },
            OffOr::Written(Written::Moded(Moded { value, mode })) => Self { value, mode },
        })
    }
}

impl<T: Serialize + Copy> Serialize for Limit<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.mode {
            Mode::Enforce => self.value.serialize(serializer),
            Mode::Off => serializer.serialize_str("off"),
            Mode::Shadow => Moded { value: self.value, mode: self.mode }.serialize(serializer),
        }
    }
}

/// serde for types that are written as text.
macro_rules! as_text {
    ($name:ident) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

as_text!(HeaderBuffers);
as_text!(ZoneKey);
as_text!(Rate);

impl FromStr for HeaderBuffers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not number and size of header buffers: write \"4 8k\"");
        let (count, size) = text.trim().split_once(' ').ok_or_else(wrong)?;
        let count = count.parse().ok().filter(|count| (1..=1024).contains(count)).ok_or_else(wrong)?;
        let size: ByteSize = size.trim().parse().map_err(|_| wrong())?;
        if (1..=1 << 20).contains(&size.0) { Ok(Self { count, size }) } else { Err(wrong()) }
    }
}

impl fmt::Display for HeaderBuffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.count, self.size.0)
    }
}

impl FromStr for ZoneKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "address" => Ok(Self::Address),
            None if text == "token" => Ok(Self::Token),
            None if text == "server" => Ok(Self::Server),
            Some(("header", name)) if !name.is_empty() => Ok(Self::Header(name.to_owned())),
            _ => Err(format!("`{text}` is no key: write address, token, server or header:NAME")),
        }
    }
}

impl fmt::Display for ZoneKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address => f.write_str("address"),
            Self::Token => f.write_str("token"),
            Self::Server => f.write_str("server"),
            Self::Header(name) => write!(f, "header:{name}"),
        }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a rate: write 10r/s or 30r/m");
        let (count, unit) = text.split_once("r/").ok_or_else(wrong)?;
        let count: u64 =
            count.parse().ok().filter(|count| (1..=1_000_000).contains(count)).ok_or_else(wrong)?;
        match unit {
            "s" => Ok(Self { per_1000_s: count * 1000 }),
            "m" => Ok(Self { per_1000_s: count * 1000 / 60 }),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Rate {
    /// Exact for whole requests a second; what was written per minute is printed per minute.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.per_1000_s {
            rate if rate.is_multiple_of(1000) => write!(f, "{}r/s", rate / 1000),
            rate => write!(f, "{}r/m", (rate * 60).div_ceil(1000)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(text: &str) -> Limits {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_limit_is_a_value_off_or_a_value_with_a_mode() {
        let limits = limits(
            "client_max_body_size = { value = \"1m\", mode = \"shadow\" }\nclient_body_timeout = \"off\"\nsend_timeout = \"5s\"\nkeepalive_requests = 10",
        );
        assert_eq!(limits.client_max_body_size, Limit { value: ByteSize(1 << 20), mode: Mode::Shadow });
        assert_eq!(limits.client_body_timeout.mode, Mode::Off);
        assert_eq!(limits.send_timeout, Limit::enforced(Span(Duration::from_secs(5))));
        assert_eq!(limits.keepalive_requests, Limit::enforced(10));
    }

    #[test]
    fn a_body_size_of_0_is_no_limit_as_in_nginx() {
        assert_eq!(limits("client_max_body_size = 0").client_max_body_size.mode, Mode::Off);
    }

    #[test]
    fn what_is_printed_is_read_again() {
        let limits = limits(
            "client_max_body_size = { value = \"1m\", mode = \"shadow\" }\nclient_body_timeout = \"off\"\nlarge_client_header_buffers = \"2 1k\"\nlimit_req = [{zone = \"a\", burst = 3}]",
        );
        let again: Limits = toml::from_str(&toml::to_string(&limits).unwrap()).unwrap();
        assert_eq!(toml::to_string(&again).unwrap(), toml::to_string(&limits).unwrap());
    }

    #[test]
    fn rates_are_counted_in_thousandths_as_nginx_counts_them() {
        for (text, per_1000_s) in [("2r/s", 2000), ("30r/m", 500), ("100r/m", 1666)] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.per_1000_s, rate.to_string()), (per_1000_s, text.to_owned()));
        }
        for text in ["", "2", "0r/s", "2r/h", "r/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn wrong_values_say_what_would_do() {
        let wrong = |text: &str| toml::from_str::<Limits>(text).unwrap_err().to_string();
        assert!(wrong("send_timeout = \"soon\"").contains("mode = \"shadow\""));
        assert!(wrong("large_client_header_buffers = \"8k\"").contains("4 8k"));
        assert!("ip".parse::<ZoneKey>().unwrap_err().contains("header:NAME"));
    }
}
