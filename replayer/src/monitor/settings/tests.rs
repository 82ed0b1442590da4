use super::*;

fn read_text(text: &str) -> Result<Vec<Settings>, String> {
    let file = config::parse::<File>("monitors.toml", text).map_err(|error| error.in_one_line())?;
    Ok(file.monitor)
}

fn refused(table: &str) -> String {
    read_text(&format!("[[monitor]]\n{table}")).unwrap_err()
}

#[test]
fn a_monitor_has_the_name_of_its_kind_and_five_seconds() {
    let read = read_text("[[monitor]]\nkind = \"host\"").unwrap();
    assert_eq!(read, [Settings::new("host", What::Host)]);
    let read = read_text(
        "[[monitor]]\nkind = \"process\"\nname = \"app\"\nprocess = \"uvicorn\"\ninterval = \"1s\"",
    )
    .unwrap();
    let what = What::Process(Which::Named("uvicorn".to_owned()));
    assert_eq!(read, [Settings { interval: Duration::from_secs(1), ..Settings::new("app", what) }]);
}

#[test]
fn what_makes_no_sense_is_refused_with_the_remedy() {
    for (table, part) in [
        ("kind = \"host\"\nurl = \"http://a/\"", "`url` says nothing to a host monitor"),
        ("kind = \"host\"\nintervall = \"5s\"", "did you mean `interval`?"),
        ("kind = \"hosts\"", "unknown variant `hosts`"),
        ("kind = \"host\"\ninterval = \"1ms\"", "give 200ms to 1h"),
        ("kind = \"host\"\nname = \"a.b\"", "`a.b` is no name for a monitor"),
        ("kind = \"postgres\"", "needs a url: \"postgres://USER@HOST/DATABASE\""),
        ("kind = \"postgres\"\nurl = \"http://a/\"", "has the scheme `http`"),
        ("kind = \"postgres\"\nurl = \"a secret\"", "this is no URL"),
        ("kind = \"process\"", "needs one of process = "),
        ("kind = \"process\"\npid = 1\nprocess = \"a\"", "needs one of process = "),
        ("kind = \"prometheus\"\nurl = \"http://a/\"", "needs metrics = [{ metric = \"pool_size\", selector"),
        (
            "kind = \"json\"\nurl = \"http://a/\"\nmetrics = [{ metric = \"a\", selector = \"b\" }]",
            "pointer = ",
        ),
        ("kind = \"json\"\nurl = \"http://a/\"\nmetrics = [{ metric = \"a\", pointer = \"b\" }]", "`b`"),
    ] {
        let refused = refused(table);
        assert!(refused.contains(part), "{table}: {refused}");
        assert!(refused.starts_with("monitors.toml:") && !refused.contains("a secret"), "{refused}");
    }
}

#[test]
fn two_monitors_have_two_names() {
    let read = read_text("[[monitor]]\nkind = \"host\"\n[[monitor]]\nkind = \"host\"").unwrap();
    assert!(check_names(&read).unwrap_err().contains("two monitors are named `host`"));
}

#[test]
fn secrets_of_a_url_are_not_shown() {
    for (url, shown) in [
        ("postgres://app:secret@db/app", "postgres://app:…@db/app"),
        ("postgres://db/app?password=secret&sslmode=require", "postgres://db/app?password=…&sslmode=require"),
        ("http://h:9/metrics?a=1", "http://h:9/metrics?a=1"),
    ] {
        assert_eq!(Address::try_from(url.to_owned()).unwrap().to_string(), shown);
    }
}

#[test]
fn the_shipped_file_is_read() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/monitors.toml"));
    let variable = |name: &str| (name == "DATABASE_URL").then(|| "postgres://app@db/app".to_owned());
    let kinds: Vec<String> = read(path, variable).unwrap().into_iter().map(|one| one.name).collect();
    assert_eq!(kinds, ["postgres", "host", "process", "proxy", "health"]);
}

#[test]
fn a_variable_that_is_not_set_is_named_with_its_line() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[[monitor]]\nkind = \"postgres\"\nurl = \"${NO_SUCH}\"\n").unwrap();
    let refused = read(file.path(), |_| None).unwrap_err().in_one_line();
    assert!(refused.contains(":3: monitor[0].url: the variable NO_SUCH is not set"), "{refused}");
    let read = read(file.path(), |_| Some("postgres://a:b%5Cc\"d@db/x".to_owned())).unwrap();
    let What::Postgres { url, .. } = &read[0].what else { panic!("{read:?}") };
    assert_eq!(url.to_string(), "postgres://a:…@db/x");
}

#[test]
fn a_secret_that_stands_in_the_file_is_refused_and_not_repeated() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[[monitor]]\nkind = \"postgres\"\nurl = \"postgres://u:hunter2@db/x\"\n")
        .unwrap();
    let refused = read(file.path(), |_| None).unwrap_err().in_one_line();
    assert!(refused.contains(":3: monitor[0].url: a secret does not stand in a file"), "{refused}");
    assert!(!refused.contains("hunter2"), "{refused}");
}
