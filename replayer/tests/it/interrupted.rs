//! Import, edit and export that are ended before they are done.

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use kingtide_common::capture::Capture;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::capture_files;

const LINE: &str = "192.0.2.1 - - [24/Nov/2026:09:00:00 +0000] \"GET /a HTTP/1.1\" 200 12 \"-\" \"x\"\n";

/// A directory for what is made.
struct Scene(TempDir);

impl Scene {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn out(&self) -> PathBuf {
        self.0.path().join("out")
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn begin(&self, arguments: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kingtide"));
        command.args(arguments).arg("--out").arg(self.out());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// An import that has begun and waits for the rest of its input.
    fn waiting_import(&self, more: &[&str]) -> Child {
        let mut child = self.begin(&[&["import", "nginx", "-"], more].concat());
        child.stdin.as_ref().unwrap().write_all(LINE.as_bytes()).unwrap();
        self.await_part(&mut child);
        child
    }

    /// Waits until something half-made is there; returns its name.
    fn await_part(&self, child: &mut Child) -> String {
        let deadline = Instant::now() + Duration::from_mins(1);
        let parts = [format!(".out.part-{}", child.id()), "out.part".to_owned()];
        loop {
            if let Some(part) = self.names().into_iter().find(|name| parts.contains(name)) {
                return part;
            }
            assert_eq!(child.try_wait().unwrap(), None, "it ended before it was interrupted");
            assert!(Instant::now() < deadline, "nothing was begun");
            std::thread::yield_now();
        }
    }
}

/// Its input goes on until it is gone.
fn ended_by(mut child: Child, signal: Signal) -> Output {
    let _input = child.stdin.take();
    kill_process(Pid::from_child(&child), signal).unwrap();
    child.wait_with_output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// One that keeps an edit or an export busy for longer than a signal takes.
fn large_capture() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    capture_files::whole(directory.path(), &vec![9_000; 60_000]);
    directory
}

#[test]
fn an_import_that_waits_for_input_leaves_nothing_when_it_is_interrupted() {
    for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let scene = Scene::new();
        let output = ended_by(scene.waiting_import(&[]), signal);
        assert_eq!(output.status.code(), Some(status), "{}", stderr(&output));
        assert!(stderr(&output).contains("nothing half-made is left"), "{}", stderr(&output));
        assert_eq!(scene.names(), Vec::<String>::new());
    }
}

#[test]
fn an_import_that_is_writing_leaves_nothing_when_it_is_interrupted() {
    let scene = Scene::new();
    let mut child = scene.begin(&["import", "nginx", "-"]);
    let mut input = child.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || while input.write_all(LINE.repeat(100).as_bytes()).is_ok() {});
    // Rows are on their way to the disk.
    let part = scene.0.path().join(scene.await_part(&mut child));
    while !std::fs::read_dir(&part).unwrap().any(|entry| segment_bytes(&entry.unwrap().path()) > 100_000) {
        assert_eq!(child.try_wait().unwrap(), None);
    }
    let output = ended_by(child, Signal::INT);
    feeder.join().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert_eq!(scene.names(), Vec::<String>::new());
}

fn segment_bytes(path: &Path) -> u64 {
    if path.extension().is_some_and(|extension| extension == "arrows") {
        std::fs::metadata(path).map_or(0, |file| file.len())
    } else {
        0
    }
}

#[test]
fn an_edit_and_an_export_leave_nothing_when_they_are_interrupted() {
    let capture = large_capture();
    let capture = capture.path().to_str().unwrap();
    for command in [&["edit", capture][..], &["export", "csv", capture], &["export", "har", capture]] {
        let scene = Scene::new();
        let mut child = scene.begin(command);
        scene.await_part(&mut child);
        let output = ended_by(child, Signal::INT);
        assert_eq!(output.status.code(), Some(130), "{command:?}: {}", stderr(&output));
        assert_eq!(scene.names(), Vec::<String>::new(), "{command:?}");
    }
}

#[test]
fn an_interrupted_replacement_leaves_the_capture_that_was_there() {
    let scene = Scene::new();
    capture_files::whole(&scene.out(), &[5_000]);
    let before = Capture::open(&scene.out()).unwrap().read().unwrap().exchanges;
    let output = ended_by(scene.waiting_import(&["--force"]), Signal::TERM);
    assert_eq!(output.status.code(), Some(143), "{}", stderr(&output));
    assert_eq!(scene.names(), ["out"]);
    assert_eq!(Capture::open(&scene.out()).unwrap().read().unwrap().exchanges, before);
}

#[test]
fn what_a_killed_import_left_is_taken_away_by_the_next_and_what_a_running_one_makes_is_not() {
    let scene = Scene::new();
    let killed = ended_by(scene.waiting_import(&[]), Signal::KILL);
    assert_eq!(killed.status.signal(), Some(9));
    let left = scene.names();
    assert!(left.len() == 1 && left[0].starts_with(".out.part-"), "{left:?}");
    // Names that only look alike are somebody else's.
    std::fs::create_dir(scene.0.path().join(".out.part-of-me")).unwrap();

    let mut child = scene.begin(&["import", "nginx", "-"]);
    child.stdin.as_ref().unwrap().write_all(LINE.as_bytes()).unwrap();
    let running = scene.await_part(&mut child);
    let mut second = scene.begin(&["import", "nginx", "-"]);
    second.stdin.take().unwrap().write_all(LINE.as_bytes()).unwrap();
    let second = second.wait_with_output().unwrap();
    assert_eq!(second.status.code(), Some(0), "{}", stderr(&second));
    assert!(!stderr(&second).contains("half-made"), "{}", stderr(&second));
    assert_eq!(scene.names(), [running.as_str(), ".out.part-of-me", "out"]);

    drop(child.stdin.take());
    let late = child.wait_with_output().unwrap();
    assert_eq!(late.status.code(), Some(2));
    assert!(
        stderr(&late).contains(&left[0]) && stderr(&late).contains("killed; removed"),
        "{}",
        stderr(&late)
    );
    assert!(stderr(&late).contains("is there already and not empty"), "{}", stderr(&late));
    assert_eq!(scene.names(), [".out.part-of-me", "out"]);
}
