//! Accounts for plans by hand.

use std::io::Write;

use kingtide_common::exchange::Exchange;
use kingtide_common::units::{Multiple, Seed};

use super::*;
use crate::plan::{Mode, amplify};
use crate::sessions::{Choice, Escape, Hole, Place, Session, Source, Step};

fn read(text: &str) -> Identities {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    Identities::read(file.path()).unwrap()
}

fn templates(of: Identities, texts: &[&str]) -> Result<Identities, IdentityError> {
    let texts: Vec<TemplateText> = texts.iter().map(|text| (*text).to_owned().into()).collect();
    of.with_templates(&texts, 1, |_| None)
}

fn session(columns: &[&str]) -> Session {
    let hole = |column: &&str| Hole {
        place: Place::Body,
        range: 0..0,
        escape: Escape::Raw,
        source: Source::Identity { column: (*column).to_owned() },
        choice: Choice::default(),
    };
    let holes = columns.iter().map(hole).collect();
    let step = Step { exchange: Exchange::default(), offset_us: 0, connection: 0, holes };
    Session { key: String::new(), start_ns: 0, steps: vec![step], orphan: false }
}

/// Each session once.
fn plan(sessions: &Outlines) -> Plan {
    amplify(sessions, Multiple::new(1.0).unwrap(), Mode::Crowd, Seed(1))
}

/// What the clones of sessions with these columns have in a column, or why not.
fn assigned(
    identities: Option<&Identities>,
    clones: &[&[&str]],
    column: &str,
) -> Result<Vec<Option<String>>, String> {
    let sessions: Outlines = clones.iter().map(|columns| session(columns)).collect();
    let plan = plan(&sessions);
    let path = identities.and_then(|all| Some(all.file.as_ref()?.path.display().to_string()));
    let seating = assign(identities, &plan, &sessions, 7).map_err(|error| {
        let said = error.to_string();
        path.map_or(said.clone(), |path| said.replace(&path, "FILE"))
    })?;
    let value = |(_, seat): (PlannedClone, Option<SeatNumber>)| seating.of(seat?)?.value(column, "captured");
    Ok(seated(&plan, &sessions).map(value).collect())
}

const LOGIN: &[&str] = &["email", "password"];

#[test]
fn each_clone_that_logs_in_has_its_own_account() {
    let identities = read("Email,password\na@x, one\nb@x,\"t,wo\"\n");
    let passwords = assigned(Some(&identities), &[LOGIN, &[], LOGIN], "password").unwrap();
    assert_eq!(passwords, [Some("one".to_owned()), None, Some("t,wo".to_owned())]);
}

#[test]
fn templates_make_as_many_accounts_as_are_needed() {
    let identities = templates(Identities::default(), &["email=s{n:03}@x", "password=one"]).unwrap();
    let identities = Identities { counter_from: 99, ..identities };
    let emails = assigned(Some(&identities), &[LOGIN, &[], LOGIN], "email").unwrap();
    assert_eq!(emails, [Some("s099@x".to_owned()), None, Some("s100@x".to_owned())]);
}

#[test]
fn runs_after_others_take_the_next_accounts() {
    let of = |identities: &Identities, taken| {
        let emails = assigned(Some(&identities.after(taken)), &[LOGIN, &[], LOGIN], "email").unwrap();
        emails.into_iter().flatten().collect::<Vec<_>>()
    };
    let file = read("email,password\na@x,1\nb@x,2\nc@x,3\n");
    assert_eq!([of(&file, 0), of(&file, 2)], [["a@x", "b@x"], ["c@x", "a@x"]], "it begins again");
    let made = templates(Identities::default(), &["email=s{n}@x", "password=one"]).unwrap();
    assert_eq!([of(&made, 0), of(&made, 2)], [["s1@x", "s2@x"], ["s3@x", "s4@x"]]);
}

#[test]
fn a_plan_says_how_many_accounts_it_takes() {
    let sessions: Outlines = [session(LOGIN), session(&[]), session(LOGIN)].into_iter().collect();
    let of = |identities| demand(Some(&identities), &plan(&sessions), &sessions);
    let file = || read("email,password\na@x,1\nb@x,2\nc@x,3\n");
    assert_eq!(of(file()).unwrap(), Demand { accounts: 2, held: Some(3) });
    let mixed = templates(read("password\n1\n2\n"), &["email={n}"]).unwrap();
    assert_eq!(of(mixed).unwrap(), Demand { accounts: 2, held: None });
    assert!(of(read("email,password\na@x,1\n")).is_err());
    assert!(demand(None, &plan(&sessions), &sessions).is_err());
}

#[test]
fn a_template_adds_a_column_to_the_file() {
    let identities = templates(read("email\na@x\nb@x\n"), &["password=one"]).unwrap();
    let of = |column| assigned(Some(&identities), &[LOGIN, LOGIN], column).unwrap();
    assert_eq!(of("password"), [Some("one".to_owned()), Some("one".to_owned())]);
    assert_eq!(of("email"), [Some("a@x".to_owned()), Some("b@x".to_owned())]);
}

#[test]
fn what_cannot_serve_the_plan_is_refused_with_the_remedy() {
    let file = read("email,password\na@x,1\n");
    let refused =
        |identities: Option<&Identities>, clones: &[&[&str]]| assigned(identities, clones, "").unwrap_err();
    assert_eq!(
        refused(Some(&file), &[LOGIN, LOGIN, LOGIN]),
        "this replay has 3 users who log in, but `FILE` has 1 accounts: add 2 more lines, or lower -x"
    );
    assert_eq!(
        refused(Some(&file), &[&["email", "username"]]),
        "the captured logins need the column `username`, which `FILE` does not have \
         (it has: email, password): add it to the header line and to each account, \
         or give --identity 'username=TEXT'"
    );
    assert_eq!(
        refused(None, &[&["email"], &["email", "username"]]),
        "this replay has 2 users who log in (fields: email, username): \
         give a CSV file with as many accounts by --identities FILE, \
         or a template for each field, such as --identity 'email=student{n:05}@school.example'"
    );
    let with = |texts: &[&str]| templates(Identities::default(), texts).unwrap();
    let same = refused(Some(&with(&["email=ann@x", "password=1{n}"])), &[LOGIN, LOGIN]);
    assert!(same.contains("every user would log in as the same account"), "{same}");
    let partial = refused(Some(&with(&["email=ann{n}@x"])), &[LOGIN, LOGIN]);
    assert!(partial.contains("--identity 'password=TEXT'"), "{partial}");
    let unused = refused(Some(&with(&["email={n}", "password=1", "school=x"])), &[LOGIN]);
    assert!(unused.contains("--identity school: no captured login has it"), "{unused}");
}

#[test]
fn a_column_is_given_once() {
    for (file, texts) in [("email\na@x\n", vec!["E-mail={n}"]), ("x\ny\n", vec!["email={n}", "email={n}"])] {
        let twice = templates(read(file), &texts);
        assert!(matches!(twice, Err(IdentityError::Twice { .. })), "{texts:?}");
    }
}

#[test]
fn accounts_that_differ_only_in_their_password_are_one() {
    let columns: &[&str] = &["matriculation", "password"];
    let file = read("matriculation,password,room\n7,1,a\n8,1,a\n7,2,b\n");
    let refused = assigned(Some(&file), &[columns, columns], "").unwrap_err();
    assert!(refused.contains("lines 2 and 4 are the same account"), "{refused}");
    let counted = templates(read("school,password\nx,1\nx,2\n"), &["matriculation={n}"]).unwrap();
    let columns: &[&str] = &["matriculation", "password", "school"];
    assert!(assigned(Some(&counted), &[columns, columns], "").is_ok());
}

#[test]
fn a_capture_without_logins_needs_no_accounts() {
    assert_eq!(assigned(None, &[&[], &[]], "email").unwrap(), [None, None]);
}

#[test]
fn passwords_are_not_printed() {
    let file = read("email,password\na@x,hunter2\n");
    let both = templates(read("email\na@x\n"), &["password=hunter2"]).unwrap();
    assert!(!format!("{file:?} {both:?}").contains("hunter2"));
}
