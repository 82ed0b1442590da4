//! The drive on HTTP/2 against the real Nginx, whose ways are not those of the `h2` crate on both sides.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use kingtide::drive::{DriveConfig, Http};
use kingtide_common::exchange::PacingPoint;
use tempfile::TempDir;

use crate::captured::{at, get, over_http2, session, upload};
use crate::drive::{config, drive};

/// Answers, limits bodies to 100 KB, and allows three streams. Ends with its test.
struct Nginx {
    process: Child,
    origin: String,
    directory: TempDir,
}

impl Nginx {
    fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let paths: String = paths.map(|kind| format!("{kind}_temp_path {kind};\n")).concat();
        let conf = format!(
            "daemon off; worker_processes 1; pid nginx.pid; error_log error.log;\n\
             events {{ worker_connections 256; }}\n\
             http {{ {paths} http2_max_concurrent_streams 3; client_max_body_size 100k;\n\
             log_format version '$server_protocol $connection'; access_log access.log version;\n\
             server {{ listen 127.0.0.1:{port} http2;\n\
             location / {{ root .; limit_rate 20k; try_files /page =404; }} }} }}\n"
        );
        fs::write(directory.path().join("nginx.conf"), conf).unwrap();
        fs::write(directory.path().join("page"), [b'x'; 10_000]).unwrap();
        let process = Command::new("nginx")
            .args(["-c", "nginx.conf", "-p"])
            .arg(directory.path())
            .stderr(Stdio::null())
            .spawn()
            .expect("this test needs the real Nginx: apt-get install nginx-light");
        let mut nginx = Self { process, origin: format!("http://127.0.0.1:{port}"), directory };
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(nginx.process.try_wait().unwrap().is_none(), "nginx has ended: see its error.log");
            std::thread::yield_now();
        }
        nginx
    }

    /// Version and connection of each request. It may write one down after its answer, so it is ended first.
    fn log(&mut self) -> Vec<String> {
        self.end();
        let log = fs::read_to_string(self.directory.path().join("access.log")).unwrap();
        log.lines().map(str::to_owned).collect()
    }

    /// The master ends its worker, which finishes what it has.
    fn end(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            let _ = Command::new("kill").args(["-QUIT", &self.process.id().to_string()]).status();
            let _ = self.process.wait();
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.end();
    }
}

#[test]
fn nginx_is_sent_more_than_it_allows_at_once_and_answers_an_upload_early() {
    let mut nginx = Nginx::start();
    let mut too_large = upload(3_000_000, &[]);
    too_large.exchange.pacing =
        vec![PacingPoint { at_us: 60_000_000, bytes: too_large.exchange.request_body_bytes }];
    let mut steps = vec![too_large];
    steps.extend((0..6).map(|number| at(20_000, get(&format!("/{number}")))));
    let steps = steps.into_iter().map(over_http2).collect();
    let (_, report) = drive(&DriveConfig { http: Http::Http2, ..config(&nginx.origin) }, &[session(steps)]);
    assert_eq!(report.errors.len(), 0, "{:?}", report.errors);
    let statuses: Vec<(&str, u64)> =
        report.statuses.iter().map(|(status, count)| (status.as_str(), *count)).collect();
    assert_eq!(statuses, [("200", 6), ("413", 1)]);
    assert!(report.http.stream_waits >= 3, "{}", report.http.stream_waits);
    let log = nginx.log();
    assert_eq!(log.len(), 7);
    assert!(log.iter().all(|line| *line == log[0] && line.starts_with("HTTP/2.0 ")), "{log:?}");
}
