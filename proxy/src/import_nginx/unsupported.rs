//! What each directive that has no place in `proxy.toml` asks of the user.

use super::losses::Losses;
use super::read::Directive;

/// Handled by the other modules, which list what they cannot carry over.
#[rustfmt::skip]
const CARRIED: &[&str] = &[
    "access_log", "add_header", "allow", "auth_basic", "auth_jwt", "auth_request",
    "client_body_buffer_size", "client_body_timeout", "client_header_buffer_size", "client_header_timeout",
    "client_max_body_size", "default_type", "deny", "events", "http", "http2", "if", "internal",
    "keepalive", "keepalive_requests", "keepalive_timeout", "large_client_header_buffers", "limit_conn",
    "limit_conn_dry_run", "limit_conn_status", "limit_conn_zone", "limit_except", "limit_req",
    "limit_req_dry_run", "limit_req_status", "limit_req_zone", "lingering_time", "lingering_timeout",
    "listen", "location", "proxy_connect_timeout", "proxy_hide_header", "proxy_pass", "proxy_read_timeout",
    "proxy_request_buffering", "proxy_send_timeout", "proxy_set_header", "proxy_ssl_name",
    "proxy_ssl_trusted_certificate", "proxy_ssl_verify", "real_ip_header", "return", "rewrite",
    "send_timeout", "server", "server_name", "set_real_ip_from", "ssl", "ssl_certificate",
    "ssl_certificate_key", "ssl_reject_handshake", "ssl_verify_client", "stub_status", "upstream",
    "worker_connections", "worker_processes",
];

/// Blocks whose contents are listed one by one.
const OPENED: &[&str] = &["events", "http", "location", "server", "upstream"];

/// Nobody will see a difference.
#[rustfmt::skip]
const HARMLESS: &[(&[&str], &str)] = &[
    (
        &["sendfile", "tcp_nopush", "tcp_nodelay", "aio", "directio", "sendfile_max_chunk",
          "output_buffers", "postpone_output", "read_ahead", "open_file_cache",
          "open_file_cache_valid", "open_file_cache_min_uses", "open_file_cache_errors",
          "max_ranges"],
        "how files and answers are written is the proxy's own business",
    ),
    (
        &["types", "types_hash_max_size", "types_hash_bucket_size", "charset", "charset_types",
          "etag", "if_modified_since", "log_not_found"],
        "for files, which are not served here",
    ),
    (
        &["user", "pid", "daemon", "master_process", "worker_rlimit_nofile", "worker_cpu_affinity",
          "worker_priority", "worker_shutdown_timeout", "worker_rlimit_core", "working_directory",
          "env", "load_module", "thread_pool", "use", "multi_accept", "accept_mutex",
          "accept_mutex_delay", "pcre_jit", "lock_file", "timer_resolution", "debug_points"],
        "the service manager sets user, directory and limits of the process (deploy/)",
    ),
    (&["error_log"], "diagnostics go to stderr; RUST_LOG sets how many"),
    (&["log_format"], "the access log has Nginx's `combined` with times appended, HAProxy's format, or JSON"),
    (
        &["server_tokens", "server_names_hash_bucket_size", "server_names_hash_max_size",
          "variables_hash_max_size", "variables_hash_bucket_size", "map_hash_bucket_size",
          "map_hash_max_size", "proxy_headers_hash_max_size", "proxy_headers_hash_bucket_size",
          "server_name_in_redirect", "port_in_redirect", "absolute_redirect",
          "connection_pool_size", "request_pool_size", "real_ip_recursive", "zone", "random_index",
          "recursive_error_pages"],
        "no counterpart is needed",
    ),
    (
        &["proxy_buffering", "proxy_buffer_size", "proxy_buffers", "proxy_busy_buffers_size",
          "proxy_max_temp_file_size", "proxy_temp_file_write_size", "proxy_temp_path",
          "chunked_transfer_encoding"],
        "answers are streamed, with bounded memory",
    ),
    (
        &["client_body_temp_path", "client_body_in_single_buffer"],
        "uploads are spooled to server.spool_directory",
    ),
    (&["proxy_http_version"], "backends are spoken to in HTTP/1.1"),
    (
        &["ssl_protocols", "ssl_ciphers", "ssl_prefer_server_ciphers", "ssl_session_cache",
          "ssl_session_timeout", "ssl_session_tickets", "ssl_session_ticket_key", "ssl_dhparam",
          "ssl_ecdh_curve", "ssl_buffer_size", "ssl_conf_command", "ssl_early_data",
          "proxy_ssl_session_reuse", "proxy_ssl_server_name", "proxy_ssl_protocols",
          "proxy_ssl_ciphers", "proxy_ssl_verify_depth"],
        "TLS 1.2 and 1.3 with safe ciphers are spoken, and names of hosts are sent",
    ),
    (&["resolver", "resolver_timeout", "ipv6"], "names are looked up by the system, at start and at reload"),
    (
        &["underscores_in_headers", "ignore_invalid_headers", "merge_slashes", "msie_padding",
          "msie_refresh", "keepalive_disable", "reset_timedout_connection", "lingering_close",
          "http2_max_concurrent_streams", "http2_chunk_size", "http2_recv_buffer_size",
          "keepalive_time"],
        "a detail of the protocol on which the proxy decides by itself",
    ),
];

/// What it did is gone.
#[rustfmt::skip]
const LOST: &[(&[&str], &str)] = &[
    (
        &["gzip", "gzip_types", "gzip_vary", "gzip_proxied", "gzip_comp_level", "gzip_min_length",
          "gzip_buffers", "gzip_http_version", "gzip_disable", "gzip_static", "gunzip", "brotli",
          "brotli_types", "brotli_comp_level", "brotli_static", "zstd"],
        "not done: answers pass as the backend made them; let it compress",
    ),
    (
        &["root", "alias", "index", "try_files", "autoindex", "autoindex_exact_size",
          "autoindex_localtime", "disable_symlinks"],
        "serves files: keep nginx or a static server for it, and name that as an upstream",
    ),
    (
        &["error_page", "proxy_intercept_errors"],
        "not done: errors of the backend pass as they are, own errors are short texts",
    ),
    (
        &["fastcgi_pass", "uwsgi_pass", "scgi_pass", "grpc_pass", "memcached_pass"],
        "only HTTP is spoken to backends: let it listen on HTTP, or keep nginx before it; the route answers 502",
    ),
    (
        &["proxy_cache", "proxy_cache_path", "proxy_cache_valid", "proxy_cache_key",
          "proxy_cache_bypass", "proxy_no_cache", "proxy_cache_use_stale", "proxy_cache_lock",
          "proxy_cache_methods", "proxy_cache_min_uses", "proxy_store", "proxy_ignore_headers",
          "proxy_cache_background_update", "proxy_cache_revalidate"],
        "nothing is cached here",
    ),
    (
        &["least_conn", "ip_hash", "hash", "random", "sticky", "least_time", "queue"],
        "peers take turns: there is no other way of balancing",
    ),
    (&["expires"], "write Cache-Control in the route's `response_headers`"),
    (
        &["more_set_headers", "more_clear_headers", "more_set_input_headers", "proxy_pass_header",
          "add_trailer"],
        "write the header in the route's `response_headers` or `request_headers`",
    ),
    (
        &["proxy_redirect"],
        "addresses in the backend's redirects are not changed: let it use the Host it is sent",
    ),
    (
        &["proxy_cookie_path", "proxy_cookie_domain", "proxy_cookie_flags"],
        "cookies of the backend are not changed",
    ),
    (
        &["proxy_next_upstream", "proxy_next_upstream_tries", "proxy_next_upstream_timeout"],
        "another peer is tried when connecting fails and the request can be sent again, as Nginx does by default",
    ),
    (&["proxy_ignore_client_abort"], "a request ends when its client leaves"),
    (
        &["proxy_method", "proxy_pass_request_body", "proxy_pass_request_headers",
          "proxy_set_body"],
        "requests pass as they came",
    ),
    (&["proxy_bind", "proxy_limit_rate", "limit_rate", "limit_rate_after"], "not done: no counterpart"),
    (
        &["proxy_ssl_certificate", "proxy_ssl_certificate_key", "proxy_ssl_crl"],
        "no certificate is shown to backends",
    ),
    (
        &["ssl_client_certificate", "ssl_trusted_certificate", "ssl_verify_depth", "ssl_crl"],
        "certificates of clients are not asked for",
    ),
    (
        &["ssl_stapling", "ssl_stapling_verify", "ssl_stapling_file", "ssl_ocsp"],
        "no OCSP answers are stapled",
    ),
    (&["ssl_password_file"], "keys are PEM without a password"),
    (
        &["auth_basic_user_file", "satisfy", "auth_request_set", "auth_jwt_key_file"],
        "who may enter is not checked here",
    ),
    (
        &["map", "geo", "split_clients", "set", "js_set", "perl_set"],
        "there are no variables of one's own: say it with routes",
    ),
    (&["break", "rewrite_log", "uninitialized_variable_warn"], "belongs to rewriting: say it with routes"),
    (
        &["sub_filter", "sub_filter_once", "sub_filter_types", "addition_types", "add_before_body",
          "add_after_body", "ssi", "image_filter", "xslt_stylesheet"],
        "bodies of answers are not changed",
    ),
    (&["mirror", "mirror_request_body"], "not done: record a capture and replay it"),
    (&["stream", "mail"], "only HTTP is proxied"),
    (&["client_body_in_file_only"], "uploads are not kept"),
    (&["valid_referers", "secure_link", "secure_link_md5"], "not checked here"),
    (&["ssl_alpn", "http3", "quic_retry", "quic_gso"], "HTTP/3 is not spoken: clients fall back to HTTP/2"),
    (&["limit_req_log_level", "limit_conn_log_level"], "each refusal is in the access log and the metrics"),
];

const UNKNOWN: &str = "not known to the importer: see what it does, and whether the proxy must do it";

/// Lists what no other module has dealt with.
pub(super) fn list(directives: &[Directive], losses: &Losses) {
    for directive in directives {
        if losses.is_settled(directive) {
            continue;
        }
        note(directive, losses);
        if OPENED.contains(&directive.name.as_str()) {
            list(directive.directives(), losses);
        }
    }
}

fn note(directive: &Directive, losses: &Losses) {
    if CARRIED.contains(&directive.name.as_str()) || is_default(directive) {
        return;
    }
    match (find(HARMLESS, directive), find(LOST, directive)) {
        (Some(why), _) => losses.harmless(directive, why),
        (None, Some(why)) => losses.add(directive, why),
        (None, None) => losses.add(directive, UNKNOWN),
    }
}

fn find(table: &'static [(&[&str], &str)], directive: &Directive) -> Option<&'static str> {
    table.iter().find(|(names, _)| names.contains(&directive.name.as_str())).map(|(_, why)| *why)
}

/// Says what is so anyway: a switch that is off, or the usual map for WebSockets, which pass by themselves.
fn is_default(directive: &Directive) -> bool {
    match directive.name.as_str() {
        "map" => directive.first() == "$http_upgrade",
        "gzip"
        | "brotli"
        | "proxy_cache"
        | "expires"
        | "autoindex"
        | "proxy_redirect"
        | "proxy_intercept_errors"
        | "ssl_stapling"
        | "proxy_next_upstream"
        | "limit_rate"
        | "proxy_store"
        | "ssi" => {
            matches!(directive.first(), "off" | "0")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import_nginx::read;

    #[test]
    fn each_directive_is_known_once() {
        let mut names: Vec<&str> = CARRIED.to_vec();
        names.extend(HARMLESS.iter().chain(LOST).flat_map(|(names, _)| names.iter()));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn what_is_left_is_listed_with_a_remedy() {
        let text =
            "user x; http { gzip on; gzip off; map $http_upgrade $c { default x; } foo { bar; } listen 80; }";
        let losses = Losses::default();
        list(&read::parse(text, &"nginx.conf".into(), 0).unwrap(), &losses);
        let found: Vec<_> = losses
            .into_list()
            .into_iter()
            .map(|lost| (lost.directive, lost.harmless, lost.why == UNKNOWN))
            .collect();
        let wanted = [("user x", true, false), ("gzip on", false, false), ("foo", false, true)];
        assert_eq!(found, wanted.map(|(name, harmless, unknown)| (name.to_owned(), harmless, unknown)));
    }
}
