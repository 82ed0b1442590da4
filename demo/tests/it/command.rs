//! The binary: what it prints, how it ends.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use assert_cmd::cargo::cargo_bin;

fn classroom(args: &[&str]) -> Command {
    let mut command = Command::new(cargo_bin("classroom"));
    command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A service of the binary; killed when a test fails.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        // Fails when it has ended, which is the wish.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn serve_prints_one_line_and_ends_with_0_on_a_signal() {
    for name in ["TERM", "INT"] {
        let mut served = Served(classroom(&["serve", "--students", "5"]).spawn().unwrap());
        let mut out = BufReader::new(served.0.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let port = line.strip_prefix("listening on http://127.0.0.1:").expect("the announced form");
        assert!(port.trim_end().parse::<u16>().is_ok(), "{line}");
        signal(&served.0, name);
        assert_eq!(served.0.wait().unwrap().code(), Some(0));
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}

#[test]
fn students_report_after_an_interrupt() {
    // Nobody listens on port 1; the students of the plan come over an hour.
    let args = ["students", "--target", "http://127.0.0.1:1", "--duration", "3600", "--count", "3"];
    let mut students = Served(classroom(&args).spawn().unwrap());
    let mut progress = BufReader::new(students.0.stderr.take().unwrap());
    progress.read_line(&mut String::new()).unwrap();
    signal(&students.0, "INT");
    let mut table = String::new();
    students.0.stdout.take().unwrap().read_to_string(&mut table).unwrap();
    assert_eq!(students.0.wait().unwrap().code(), Some(1));
    assert!(table.contains("not every request got 2xx, interrupted"), "{table}");
}

#[test]
fn bad_input_is_named_and_ends_with_2() {
    let table: [(&[&str], &str); 7] = [
        (&["serve", "--fault", "hang"], "no fault is called `hang`; known: hang-after:UPLOADS"),
        (&["serve", "--fault", "shed:x"], "takes a limit above 0"),
        (&["serve", "--store-ms", "fast"], "`lognormal:MEAN:CV`"),
        (&["serve", "--min-bytes", "9", "--max-bytes", "8"], "--min-bytes 9 is above --max-bytes 8"),
        (&["serve", "--database", "mysql://x"], "sqlite::memory:"),
        (&["students", "--target", "https://localhost"], "expected http://HOST:PORT"),
        (&["students", "--target", "http://localhost", "--think", "5..1"], "A not above B"),
    ];
    for (args, message) in table {
        let output = classroom(args).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(message), "{args:?}: {stderr}");
    }
}

#[test]
fn accounts_and_capacity_print_their_results() {
    let output = classroom(&["accounts", "--count", "3", "--offset", "7"]).output().unwrap();
    let csv = String::from_utf8(output.stdout).unwrap();
    assert!(csv.starts_with("email,password\nstudent0008@school.example,"), "{csv}");
    assert_eq!(csv.lines().count(), 4);

    let output = classroom(&["capacity", "--slots", "20", "--store-ms", "3000"]).output().unwrap();
    let capacity: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(capacity["limited_by"], "store_slots");
    assert_eq!(capacity["terms"].as_array().unwrap().len(), 2);
}

#[test]
fn every_subcommand_has_examples() {
    for name in ["serve", "students", "accounts", "capacity"] {
        let output = classroom(&[name, "--help"]).output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(help.contains(&format!("Examples:\n  classroom {name}")), "{help}");
    }
}
