//! The school as rows: tables, and the students, assignments and activities that follow from a seed.
//!
//! Rows are written as SQL text in batches that SQLite and PostgreSQL read alike; every value in it is our own
//! (derived UUIDs, fixed titles, hexadecimal digests), never a request's.

use std::fmt::Write as _;

use rand_chacha::ChaCha8Rng;
use uuid::Uuid;

use crate::accounts::{Account, Purpose, account, stream, uuid_from};

/// Tables in types both databases share.
pub(crate) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS school (seed TEXT PRIMARY KEY, students BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS students (
    id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE, name TEXT NOT NULL, password_digest TEXT NOT NULL,
    recordings BIGINT NOT NULL DEFAULT 0, recorded_bytes BIGINT NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS assignments (
    id TEXT PRIMARY KEY, student_id TEXT NOT NULL, title TEXT NOT NULL, due TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS activities (
    id TEXT PRIMARY KEY, assignment_id TEXT NOT NULL, student_id TEXT NOT NULL, title TEXT NOT NULL,
    kind TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS recordings (
    id TEXT PRIMARY KEY, student_id TEXT NOT NULL, activity_id TEXT NOT NULL, content_type TEXT NOT NULL,
    bytes BIGINT NOT NULL, digest TEXT NOT NULL, created_us BIGINT NOT NULL);
CREATE INDEX IF NOT EXISTS assignments_of_student ON assignments (student_id);
CREATE INDEX IF NOT EXISTS activities_of_assignment ON activities (assignment_id);
";

const ASSIGNMENTS: [(&str, &str); 3] = [
    ("1. Introduce yourself", "2026-11-27"),
    ("2. At the market", "2026-12-04"),
    ("3. My way to school", "2026-12-11"),
];
const ACTIVITIES: [(&str, &str); 4] = [
    ("1. Warm-up", "repeat"),
    ("2. Read aloud", "reading"),
    ("3. Answer the questions", "dialogue"),
    ("4. Free speech", "speech"),
];
/// Students per batch of SQL.
const BATCH_STUDENTS: usize = 100;

/// Which accounts exist.
#[derive(Debug, Clone, Copy)]
pub(crate) struct School {
    pub(crate) seed: u64,
    pub(crate) students: u64,
}

/// Digest of a password as the database keeps it, salted by the student's id.
pub(crate) fn password_digest(student_id: &str, password: &str) -> String {
    let salted = format!("{student_id}:{password}");
    blake3::hash(salted.as_bytes()).to_hex().to_string()
}

impl School {
    /// SQL that adds the accounts from number `present` on; none when all are there.
    pub(crate) fn statements(self, present: u64) -> impl Iterator<Item = String> {
        let starts = (present..self.students).step_by(BATCH_STUDENTS);
        starts.map(move |start| self.batch(start, self.students.min(start + BATCH_STUDENTS as u64)))
    }

    fn batch(self, start: u64, end: u64) -> String {
        let mut rows = Rows::default();
        for index in start..end {
            rows.add(&account(self.seed, index), &mut stream(self.seed, Purpose::Catalogue, index));
        }
        format!(
            "BEGIN; INSERT INTO students (id, email, name, password_digest) VALUES {};
             INSERT INTO assignments (id, student_id, title, due) VALUES {};
             INSERT INTO activities (id, assignment_id, student_id, title, kind) VALUES {};
             DELETE FROM school; INSERT INTO school (seed, students) VALUES ('{}', {end}); COMMIT;",
            rows.students, rows.assignments, rows.activities, self.seed
        )
    }
}

/// Value lists of one batch.
#[derive(Default)]
struct Rows {
    students: String,
    assignments: String,
    activities: String,
}

impl Rows {
    fn add(&mut self, account: &Account, rng: &mut ChaCha8Rng) {
        let id = account.id.to_string();
        let digest = password_digest(&id, &account.password);
        push(&mut self.students, &[&id, &account.email, &account.name, &digest]);
        for (title, due) in ASSIGNMENTS {
            let assignment = uuid_from(rng);
            push(&mut self.assignments, &[&assignment.to_string(), &id, title, due]);
            self.add_activities(&id, assignment, rng);
        }
    }

    fn add_activities(&mut self, student_id: &str, assignment: Uuid, rng: &mut ChaCha8Rng) {
        for (title, kind) in ACTIVITIES {
            let activity = uuid_from(rng).to_string();
            push(&mut self.activities, &[&activity, &assignment.to_string(), student_id, title, kind]);
        }
    }
}

fn push(list: &mut String, values: &[&str]) {
    let comma = if list.is_empty() { "" } else { "," };
    write!(list, "{comma}('{}')", values.join("','")).expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_missing_accounts_are_added() {
        let school = School { seed: 1, students: 250 };
        assert_eq!(school.statements(0).count(), 3);
        assert_eq!(school.statements(249).count(), 1);
        assert_eq!(school.statements(250).count(), 0);
        assert!(school.statements(249).next().unwrap().contains("student0250@school.example"));
    }

    #[test]
    fn digests_differ_between_students_with_one_password() {
        assert_ne!(password_digest("a", "same"), password_digest("b", "same"));
    }
}
