//! `kingtide-proxy import-nginx`: the `proxy.toml` of an `nginx.conf`, and what it could not carry over.
//!
//! read (files, includes) → sites (servers, listeners, hosts) → places (locations) → routes → write.
//! Each step reports what it has to leave behind to [`Losses`], with file and line, so that nothing is
//! dropped in silence; what Nginx protects (`deny`, `auth_basic`) is closed rather than opened to everybody.
//! What is written always parses and passes the checks of [`crate::config`].

mod actions;
mod conditions;
mod context;
mod headers;
mod include;
mod limits;
mod listeners;
mod losses;
mod places;
mod read;
mod rewrites;
mod routes;
mod server;
mod sites;
mod unsupported;
mod upstreams;
mod values;
mod write;
mod zones;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use context::Context;
use losses::Losses;
pub(crate) use losses::NotCarried;

const BAD_INPUT: u8 = 2;

/// What an `nginx.conf` became.
#[derive(Debug)]
pub(crate) struct Imported {
    /// The text of a `proxy.toml`.
    pub(crate) toml: String,
    /// In the order of the files and their lines.
    pub(crate) not_carried: Vec<NotCarried>,
}

/// An `nginx.conf` of which nothing can be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    #[error("{path}: cannot be read: {source}")]
    Unreadable { path: String, source: std::io::Error },
    #[error("{path}:{line}:{column}: {message}")]
    Syntax { path: String, line: usize, column: usize, message: String },
    #[error("{path}:{line}: blocks nest deeper than {}", read::DEPTH_MAX)]
    TooDeep { path: String, line: usize },
    #[error(
        "{path}:{line}: includes nest deeper than {} or name more than {} files: does a file include itself?",
        include::DEPTH_MAX,
        include::FILES_MAX
    )]
    TooManyIncludes { path: String, line: usize },
    #[error(
        "{path}: no `server` in an `http` block: name the main nginx.conf, from which the others are included"
    )]
    NoServer { path: String },
}

/// Reads an `nginx.conf` with its includes and writes the equivalent `proxy.toml`.
pub(crate) fn import(path: &Path) -> Result<Imported, ImportError> {
    let losses = Losses::default();
    let main = include::read(path, &losses)?;
    let http = Context::of(&main, "http");
    let sites = sites::sites(&http, &losses);
    if sites.is_empty() {
        return Err(ImportError::NoServer { path: path.display().to_string() });
    }
    let places: Vec<_> = sites.iter().map(|site| places::places(site, &losses)).collect();
    let zones = zones::zones(&http, &losses);
    let limits = limits::limits(&http, &sites, &places, &losses);
    let mut groups = upstreams::groups(&http, &losses);
    let routes = routes::Routes { limits: &limits, zones: &zones, losses: &losses, groups: &mut groups };
    let routes = routes.write(&sites, &places);
    let server = server::server(&main, &http, &sites, &places, &losses);
    let listeners = listeners::listeners(&sites, &losses);
    unsupported::list(&main, &losses);
    let source = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let toml = write::toml(&source, &server, &listeners, &limits, &zones, &groups, &routes);
    Ok(Imported { toml, not_carried: losses.into_list() })
}

/// The command: the TOML on stdout or in `out`, the list on stderr. Exit code 2 for a file that cannot be used.
pub(crate) fn run(path: &Path, out: Option<&Path>) -> ExitCode {
    let imported = match import(path) {
        Ok(imported) => imported,
        Err(error) => return refuse(&error.to_string()),
    };
    eprint!("{}", losses::listed(&imported.not_carried));
    match out {
        None => print!("{}", imported.toml),
        Some(out) => {
            if let Err(error) = fs::write(out, &imported.toml) {
                return refuse(&format!("{}: cannot be written: {error}", out.display()));
            }
        }
    }
    ExitCode::SUCCESS
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("error: {why}");
    ExitCode::from(BAD_INPUT)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;
    use crate::config::Config;

    const GOLDEN: &str = include_str!("../tests/fixtures/nginx/reference.toml");
    const GOLDEN_LIST: &str = include_str!("../tests/fixtures/nginx/reference.txt");

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/nginx").join(name)
    }

    /// What was imported, after a check that the proxy takes it.
    fn checked(path: &Path) -> (Imported, Config) {
        let imported = import(path).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let written = directory.path().join("proxy.toml");
        fs::write(&written, &imported.toml).unwrap();
        let config = Config::load(&written).map_err(|error| format!("{error:?}\n{}", imported.toml));
        (imported, config.unwrap().0)
    }

    fn lost(imported: &Imported) -> Vec<String> {
        let lost = imported.not_carried.iter().filter(|lost| !lost.harmless);
        lost.map(|lost| format!("{}:{} {}", name_of(&lost.file), lost.line, lost.directive)).collect()
    }

    fn name_of(path: &str) -> &str {
        path.rsplit('/').next().unwrap_or(path)
    }

    /// Without the directory of this checkout.
    fn portable(text: &str) -> String {
        text.replace(&format!("{}/", fixture("").display()).replace("//", "/"), "")
    }

    #[test]
    fn the_reference_deployment_is_carried_over() {
        let (imported, _) = checked(&fixture("reference.conf"));
        assert_eq!(portable(&imported.toml), GOLDEN);
        assert_eq!(portable(&losses::listed(&imported.not_carried)), GOLDEN_LIST);
    }

    #[test]
    fn a_tree_as_debian_installs_it_is_read_with_its_includes() {
        let (imported, config) = checked(&fixture("debian/nginx.conf"));
        let names: Vec<&str> = config.route.iter().map(|route| route.name.as_str()).collect();
        let wanted = ["default /", "school.example:443 /", "school.example:443 /static/", "school.example /"];
        assert_eq!(names, wanted);
        let lost = lost(&imported);
        assert!(lost.contains(&"school.example:11 alias /srv/school/static/".to_owned()), "{lost:?}");
    }

    #[test]
    fn what_is_nasty_is_listed_and_never_open() {
        let (imported, config) = checked(&fixture("nasty.conf"));
        let lost = lost(&imported).join("\n");
        for wanted in [
            "nasty.conf:10 map $http_origin $cors_origin",
            "nasty.conf:37 if $http_user_agent ~* badbot",
            "nasty.conf:39 rewrite ^/old/(.*)$ /new/$1 last",
            "nasty.conf:43 location ~ \\.php$",
            "nasty.conf:50 auth_basic Staff",
        ] {
            assert!(lost.contains(wanted), "{wanted} is not in\n{lost}");
        }
        let status = |name: &str| {
            let route = config.route.iter().find(|route| route.name == format!("*.school.example {name}"));
            route.and_then(|route| route.answer.as_ref()).map(|answer| answer.status)
        };
        let statuses = ["/admin/", "/metrics", "/.git", "/socket", "/app/"].map(status);
        assert_eq!(statuses, [Some(403), Some(403), Some(403), Some(502), None]);
    }

    #[test]
    fn files_that_cannot_be_used_say_where() {
        let directory = tempfile::tempdir().unwrap();
        let wrong = |text: &str| {
            let path = directory.path().join("nginx.conf");
            fs::write(&path, text).unwrap();
            import(&path).unwrap_err().to_string()
        };
        assert!(wrong("http {\n  server { listen 80 }\n}").contains("nginx.conf:2:"));
        assert!(wrong("events {}").contains("no `server`"));
        assert!(wrong("http { server { listen unix:/x; } }").contains("no `server`"));
        let missing = import(&directory.path().join("none.conf")).unwrap_err().to_string();
        assert!(missing.contains("cannot be read"));
    }

    /// Lines that may stand in a server or in a location.
    const LINES: &[&str] = &[
        "server_name a.example *.b.example .c.example;",
        "server_name _ ~^x$;",
        "listen 8080 default_server;",
        "listen [::]:443 ssl http2;",
        "ssl_certificate a.pem; ssl_certificate_key a.key;",
        "client_max_body_size 0;",
        "client_max_body_size wrong;",
        "keepalive_timeout 5 4;",
        "large_client_header_buffers 4 0;",
        "proxy_read_timeout 1d;",
        "return 200 \"x\\ny\";",
        "return 301 https://$host$request_uri;",
        "return 999;",
        "return $1;",
        "rewrite ^/a/(.*)$ /$1 break;",
        "rewrite ^ https://x permanent;",
        "proxy_pass http://u/;",
        "proxy_pass https://u;",
        "proxy_pass http://[::1]:8000/x;",
        "proxy_pass http://bad host;",
        "proxy_pass http://;",
        "proxy_set_header \"A B\" x;",
        "add_header X-A \"é \\t$http_b\";",
        "limit_req zone=z burst=5 delay=1;",
        "limit_req zone=none;",
        "limit_conn c 5;",
        "auth_basic x;",
        "deny all;",
        "try_files $uri @n;",
        "location @n { proxy_pass http://u; }",
        "location / { proxy_pass http://u; }",
        "location ~ ^/r/ { return 204; }",
        "if ($request_method = PUT) { return 405; }",
        "if ($host = a.example) { return 301 https://b.example$request_uri; }",
        "if ($scheme = http) { return 302 https://$host; }",
        "set_real_ip_from 10.0.0.0/99;",
        "access_log off;",
        "stub_status;",
        "gzip on;",
    ];

    fn lines() -> impl Strategy<Value = String> {
        let picked = prop::collection::vec(prop::sample::select(LINES), 0..7);
        picked.prop_map(|picked| picked.join("\n"))
    }

    proptest! {
        #[test]
        fn what_is_written_is_always_taken(servers in prop::collection::vec((lines(), lines()), 1..4)) {
            let mut text = "http { upstream u { server a; server b:1 weight=2; }
                limit_req_zone $binary_remote_addr zone=z:1m rate=1r/s; limit_conn_zone $server_name zone=c:1m;\n".to_owned();
            for (server, location) in servers {
                text.extend(["server {", &server, "\nlocation /l/ {", &location, "}}\n"]);
            }
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("nginx.conf");
            fs::write(&path, text + "}").unwrap();
            checked(&path);
        }

        #[test]
        fn no_text_panics(text in "(http|server|location| |\\{|\\}|;|\"|'|\\$|\\\\|[a-z/~=]|\n){0,40}") {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("nginx.conf");
            fs::write(&path, text).unwrap();
            let _ = import(&path);
        }
    }
}
