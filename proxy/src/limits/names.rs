//! The limits by name, and which of them an exchange met.

/// A limit, by its directive in Nginx.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum LimitName {
    ClientMaxBodySize,
    ClientHeaderTimeout,
    ClientBodyTimeout,
    LargeClientHeaderBuffers,
    SendTimeout,
    ProxyConnectTimeout,
    ProxySendTimeout,
    ProxyReadTimeout,
    LimitReq,
    LimitConn,
    WorkerConnections,
    KeepaliveRequests,
}

impl LimitName {
    pub(crate) const ALL: [Self; 12] = [
        Self::ClientMaxBodySize,
        Self::ClientHeaderTimeout,
        Self::ClientBodyTimeout,
        Self::LargeClientHeaderBuffers,
        Self::SendTimeout,
        Self::ProxyConnectTimeout,
        Self::ProxySendTimeout,
        Self::ProxyReadTimeout,
        Self::LimitReq,
        Self::LimitConn,
        Self::WorkerConnections,
        Self::KeepaliveRequests,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ClientMaxBodySize => "client_max_body_size",
            Self::ClientHeaderTimeout => "client_header_timeout",
            Self::ClientBodyTimeout => "client_body_timeout",
            Self::LargeClientHeaderBuffers => "large_client_header_buffers",
            Self::SendTimeout => "send_timeout",
            Self::ProxyConnectTimeout => "proxy_connect_timeout",
            Self::ProxySendTimeout => "proxy_send_timeout",
            Self::ProxyReadTimeout => "proxy_read_timeout",
            Self::LimitReq => "limit_req",
            Self::LimitConn => "limit_conn",
            Self::WorkerConnections => "worker_connections",
            Self::KeepaliveRequests => "keepalive_requests",
        }
    }
}

/// Which limits an exchange would have met, had they been enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LimitSet(u16);

impl LimitSet {
    /// Whether it was not there yet.
    pub(crate) fn insert(&mut self, limit: LimitName) -> bool {
        let before = self.0;
        self.0 |= 1 << limit as u8;
        self.0 != before
    }

    pub(crate) fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn contains(self, limit: LimitName) -> bool {
        self.0 & (1 << limit as u8) != 0
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = LimitName> {
        LimitName::ALL.into_iter().filter(move |limit| self.contains(*limit))
    }

    #[cfg(test)]
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_each_limit_once() {
        let mut set = LimitSet::default();
        assert!(set.is_empty());
        assert!(set.insert(LimitName::LimitReq) && !set.insert(LimitName::LimitReq));
        set.insert(LimitName::ClientMaxBodySize);
        assert_eq!(set.iter().collect::<Vec<_>>(), [LimitName::ClientMaxBodySize, LimitName::LimitReq]);
    }
}
