//! A request that is made, and what each version of HTTP makes of it.

use std::pin::Pin;
use std::time::Duration;

use http::uri::{Authority, Parts, Scheme};
use http::{HeaderMap, Method, Request, Uri, header};

use crate::drive::body::{BodySource, ReplayBody};
use crate::drive::timer::PreciseTimer;
use crate::drive::values::Shown;
use crate::measure::Upload;
use crate::measure::distinct::Print;
use crate::measure::http::Version;
use crate::measure::recorder::Preparation;

/// A request ready to go, and ready to go again.
#[derive(Debug)]
pub(in crate::drive) struct Prepared {
    pub(super) method: Method,
    pub(super) uri: Uri,
    /// Those of HTTP/2, and `Host`.
    pub(super) headers: HeaderMap,
    /// Those of HTTP/1.1 where they differ: HTTP/2 may have had its cookies in crumbs.
    pub(super) headers_http1: Option<HeaderMap>,
    pub(super) scheme: Scheme,
    pub(super) body: BodySource,
    pub(in crate::drive) upload: Upload,
    pub(in crate::drive) preparation: Preparation,
    pub(in crate::drive) shown: Shown,
}

impl Prepared {
    pub(in crate::drive) fn request(&self, timer: &PreciseTimer) -> Request<Pin<Box<ReplayBody>>> {
        let mut request = Request::new(Box::pin(self.body.body(timer)));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers(Version::Http1).clone();
        request
    }

    /// Its head as HTTP/2 has it, with `:authority` instead of `Host`; `None` when there is no such.
    pub(in crate::drive) fn head_http2(&self) -> Option<Request<()>> {
        let mut request = Request::new(());
        let authority = self.headers.get(header::HOST)?.as_bytes();
        let mut parts = Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(Authority::try_from(authority).ok()?);
        parts.path_and_query = self.uri.path_and_query().cloned();
        *request.method_mut() = self.method.clone();
        *request.version_mut() = http::Version::HTTP_2;
        *request.uri_mut() = Uri::from_parts(parts).ok()?;
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().remove(header::HOST);
        Some(request)
    }

    pub(in crate::drive) fn body(&self, timer: &PreciseTimer) -> ReplayBody {
        self.body.body(timer)
    }

    fn headers(&self, version: Version) -> &HeaderMap {
        match version {
            Version::Http1 => self.headers_http1.as_ref().unwrap_or(&self.headers),
            Version::Http2 => &self.headers,
        }
    }

    /// Whether it may be sent twice: by its method, or because a key tells the target that it is the same.
    pub(in crate::drive) fn is_idempotent(&self) -> bool {
        const KEYS: [&str; 2] = ["idempotency-key", "x-idempotency-key"];
        self.method.is_idempotent() || KEYS.iter().any(|key| self.headers.contains_key(*key))
    }

    /// What tells its upload from any other.
    pub(in crate::drive) fn body_print(&self) -> Option<Print> {
        self.body.print()
    }

    pub(in crate::drive) fn method(&self) -> &Method {
        &self.method
    }

    pub(in crate::drive) fn path(&self) -> &str {
        self.uri.path()
    }

    /// How long sending takes by itself, however fast the target is.
    pub(in crate::drive) fn upload_span(&self) -> Duration {
        self.body.span()
    }

    /// Bytes of head and body: on the wire of HTTP/1.1 exactly, of HTTP/2 as its texts are before they are compressed
    /// and framed.
    pub(in crate::drive) fn wire_bytes(&self, version: Version) -> u64 {
        let target = self.uri.path_and_query().map_or(1, |target| target.as_str().len());
        let text = self.method.as_str().len() + target;
        let headers = self.headers(version).iter();
        let texts: usize = headers.map(|(name, value)| name.as_str().len() + value.len()).sum();
        let between = match version {
            Version::Http1 => "  HTTP/1.1\r\n\r\n".len() + ": \r\n".len() * self.headers(version).len(),
            // `Host` is `:authority` there.
            Version::Http2 => {
                let names = ":method:scheme:path:authority".len() - "host".len();
                names + self.scheme.as_str().len()
            }
        };
        (text + texts + between) as u64 + self.body.bytes
    }
}
