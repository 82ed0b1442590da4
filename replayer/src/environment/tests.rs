use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::guard::Rules;
use crate::identities::Identities;

const MINIMAL: &str = "url = \"http://127.0.0.1:8000\"\nkind = \"local\"\n";

/// A directory with the file `a.toml`.
fn directory(text: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a.toml"), text).unwrap();
    directory
}

fn read(text: &str) -> Result<Environment, String> {
    let directory = directory(text);
    let variable = |name: &str| (name == "SET").then(|| "hunter{2}".to_owned());
    let read = Environment::read_with(&directory.path().join("a.toml"), variable);
    read.map_err(|error| error.to_string().replace(&directory.path().display().to_string(), ""))
}

fn refusal(text: &str) -> String {
    read(text).map(|read| format!("{read:?}")).unwrap_err()
}

#[test]
fn a_file_says_where_and_what() {
    let text = "url = \"https://staging.example.com:8443\"\nkind = \"staging\"\nslo = \"p95<10s,errors<5%\"\n\
                thresholds = \"../t.toml\"\n[tls]\nca = \"ca.pem\"\n[identities]\nfile = \"/x/accounts.csv\"\nfrom = 7\n\
                columns = { email = \"s{n:05}@school.example\", password = \"${SET}\" }\n\
                [[monitor]]\nkind = \"postgres\"\nurl = \"postgres://u:${SET}@db/x\"\n\
                [guard]\nkill_file = \"stop\"\n";
    let environment = read(text).unwrap();
    assert_eq!((environment.name.as_str(), environment.kind), ("a", Kind::Staging));
    assert_eq!(environment.url, "https://staging.example.com:8443");
    let ends = |path: &Option<PathBuf>, end: &str| path.as_ref().is_some_and(|path| path.ends_with(end));
    assert!(ends(&environment.ca, "ca.pem") && environment.ca.as_ref().is_some_and(|ca| ca.is_absolute()));
    assert!(ends(&environment.thresholds, "../t.toml"));
    assert_eq!(environment.accounts.file.as_deref(), Some(Path::new("/x/accounts.csv")));
    assert_eq!(environment.accounts.counter_from, 7);
    assert_eq!(environment.slo.as_ref().unwrap().to_string(), "p95<10s,errors<5%");
    let Rules { targets, kill_file, .. } = &environment.guard.rules;
    assert!(targets[0].fits("staging.example.com", "staging.example.com:8443") && ends(kill_file, "stop"));
    assert_eq!(environment.monitors[0].name, "postgres");
    assert!(!format!("{environment:?}").contains("hunter"), "{environment:?}");
}

#[test]
fn braces_of_a_password_are_no_placeholder() {
    let text = format!("{MINIMAL}[identities.columns]\nemail = \"{{mint}}\"\npassword = \"${{SET}}\"\n");
    let templates = read(&text).unwrap().accounts.templates;
    let none = |_: &str| None;
    assert!(Identities::default().with_templates(&templates, 1, none).is_ok());
}

#[test]
fn the_file_beside_fills_what_the_process_does_not() {
    let directory =
        directory(&format!("{MINIMAL}[[monitor]]\nkind = \"host\"\nname = \"${{SET}}-${{OTHER}}\"\n"));
    std::fs::write(directory.path().join(".env"), "SET=of_the_file\nOTHER=other\n").unwrap();
    let read = |is_set: bool| {
        let process = |name: &str| (is_set && name == "SET").then(|| "of_the_process".to_owned());
        let environment = Environment::read_with(&directory.path().join("a.toml"), process).unwrap();
        environment.monitors[0].name.clone()
    };
    assert_eq!([read(true), read(false)], ["of_the_process-other", "of_the_file-other"]);
}

#[test]
fn mistakes_are_named_by_file_line_and_key() {
    let of = |more: &str| format!("{MINIMAL}{more}");
    let cases = [
        (
            of("[guard]\nuser_max = 3"),
            "/a.toml:4: guard.user_max: unknown field `user_max`",
            "did you mean `users_max`?",
        ),
        (of("[tls]\nca_file = \"x\""), "/a.toml:4: tls.ca_file: unknown field", "`ca`"),
        (of("slo = \"p95=3\""), "/a.toml:3: slo: ", "p95<10s"),
        (of("[guard]\nhours = [\"soon\"]"), "/a.toml:4: guard.hours", "daily"),
        (of("[guard]\nabort = \"errors>10\""), "/a.toml:4: guard.abort: ", "no %"),
        (of("[guard]\nsynthetic = \"Host: x\""), "/a.toml:4: guard.synthetic: ", "X-"),
        (of("[guard]\ntargets = [\"https://a\"]"), "/a.toml:4: guard.targets", "is no host"),
        (
            of("[identities.columns]\nemail = \"{mint}\"\npassword = \"x\""),
            "/a.toml:5: identities.columns.password: a secret",
            "${PASSWORD}",
        ),
        (of("[[monitor]]\nurl = \"postgres://u:x@db\""), "/a.toml:4: monitor[0].url: a secret", ".env"),
        (
            of("[[monitor]]\nurl = \"${PGURL}\""),
            "/a.toml:4: monitor[0].url: the variable PGURL is not set",
            "export it",
        ),
        (MINIMAL.replace("8000", "8000/api"), "/a.toml:1: url: is no origin", "without a path"),
        (MINIMAL.replace("127", "${SET}@127"), "/a.toml:1: url: is no origin", "without a path"),
        (MINIMAL.replace("local", "prod"), "/a.toml:2: kind: unknown variant `prod`", "production"),
        (
            MINIMAL.replace("local", "production"),
            "/a.toml: multiple_max: a production environment",
            "multiple_max = 2",
        ),
    ];
    for (text, begins, part) in cases {
        let refused = refusal(&text);
        assert!(refused.starts_with(begins) && refused.contains(part), "{text}\n{refused}");
        assert!(!refused.contains("hunter"), "{refused}");
    }
}

#[test]
fn the_shipped_environments_are_read() {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/environments");
    for (name, kind) in [("local", Kind::Local), ("staging", Kind::Staging), ("production", Kind::Production)]
    {
        let path = configs.join(format!("{name}.toml"));
        let variable = |name: &str| name.ends_with("PASSWORD").then(|| "a password".to_owned());
        let environment = Environment::read_with(&path, variable).unwrap();
        assert_eq!((environment.kind, environment.name.as_str()), (kind, name));
        let monitors: Vec<&str> = environment.monitors.iter().map(|monitor| monitor.name.as_str()).collect();
        assert_eq!(monitors, if kind == Kind::Production { vec![] } else { vec!["host"] }, "{name}");
    }
    // What has a variable without a default is in the example beside.
    let example = std::fs::read_to_string(configs.join(".env.example")).unwrap();
    for name in ["staging", "production"] {
        let text = std::fs::read_to_string(configs.join(format!("{name}.toml"))).unwrap();
        let text: String = text.lines().filter(|line| !line.starts_with('#')).collect();
        for inner in text.split("${").skip(1).filter_map(|rest| rest.split_once('}')) {
            assert!(example.contains(&format!("{}=", inner.0.split(":-").next().unwrap())), "{}", inner.0);
        }
    }
}
