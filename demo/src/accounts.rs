//! The accounts of the sample school, as a pure function of a seed and an index.
//!
//! Server, students and the replayer's identities file must agree on e-mail and password without talking to
//! each other, so nothing here depends on how many accounts there are: account 17 of seed 7 is the same among
//! 20 and among 20,000. Passwords are 12 characters with at least one letter and one digit.

use std::io::Write;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use uuid::Uuid;

/// Length of every password, in characters.
pub const PASSWORD_CHARS: usize = 12;

const LETTERS: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ";
const DIGITS: &[u8] = b"23456789";
const FIRST_NAMES: [&str; 12] =
    ["Ada", "Bilal", "Chidi", "Dana", "Emre", "Farah", "Goran", "Hana", "Ines", "Jonas", "Keiko", "Lucía"];
const LAST_NAMES: [&str; 10] =
    ["Abadi", "Berg", "Costa", "Demir", "Eze", "Fischer", "Grau", "Haddad", "Ivanov", "Jansen"];

/// One student's account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Identifier the service gives the student.
    pub id: Uuid,
    /// Full name.
    pub name: String,
    /// Login name, `student0001@school.example`.
    pub email: String,
    /// Password in clear; the service keeps a digest only.
    pub password: String,
}

/// What a derived random stream is for; streams of different purposes are independent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Account = 1,
    Catalogue = 2,
    Plan = 3,
    Content = 4,
    Service = 5,
}

/// The random stream of item `index` for one purpose.
pub(crate) fn stream(seed: u64, purpose: Purpose, index: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed.rotate_left(8) ^ purpose as u64);
    rng.set_stream(index);
    rng
}

/// A version 4 UUID drawn from a derived stream.
pub(crate) fn uuid_from(rng: &mut impl Rng) -> Uuid {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// Account number `index` (from 0) of the school made from `seed`.
pub fn account(seed: u64, index: u64) -> Account {
    let mut rng = stream(seed, Purpose::Account, index);
    let id = uuid_from(&mut rng);
    let name = format!("{} {}", pick(&mut rng, &FIRST_NAMES), pick(&mut rng, &LAST_NAMES));
    Account { id, name, email: email(index), password: password(&mut rng) }
}

/// Writes `count` accounts from `offset` on as CSV with the header `email,password`.
pub fn write_csv(out: impl Write, seed: u64, offset: u64, count: u64) -> csv::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(["email", "password"])?;
    for index in offset..offset.saturating_add(count) {
        let account = account(seed, index);
        csv.write_record([account.email, account.password])?;
    }
    csv.flush()?;
    Ok(())
}

fn email(index: u64) -> String {
    format!("student{:04}@school.example", index.saturating_add(1))
}

fn pick<T: Copy>(rng: &mut impl Rng, from: &[T]) -> T {
    from[rng.random_range(0..from.len())]
}

fn password(rng: &mut impl Rng) -> String {
    let mut chars: Vec<u8> = (0..PASSWORD_CHARS)
        .map(|_| if rng.random_bool(0.25) { pick(rng, DIGITS) } else { pick(rng, LETTERS) })
        .collect();
    let first = rng.random_range(0..PASSWORD_CHARS);
    let second = (first + rng.random_range(1..PASSWORD_CHARS)) % PASSWORD_CHARS;
    chars[first] = pick(rng, LETTERS);
    chars[second] = pick(rng, DIGITS);
    chars.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn an_account_is_the_same_whatever_the_size_of_the_school() {
        assert_eq!(account(7, 17), account(7, 17));
        assert_ne!(account(7, 17).password, account(8, 17).password);
        assert_ne!(account(7, 17).id, account(8, 17).id);
        assert_eq!(account(7, 0).email, "student0001@school.example");
        assert_eq!(account(7, 12_344).email, "student12345@school.example");
    }

    #[test]
    fn passwords_look_real_and_no_two_are_equal() {
        let passwords: Vec<String> = (0..20_000).map(|index| account(1, index).password).collect();
        for password in &passwords {
            assert_eq!(password.len(), PASSWORD_CHARS);
            assert!(password.bytes().any(|byte| byte.is_ascii_alphabetic()), "{password}");
            assert!(password.bytes().any(|byte| byte.is_ascii_digit()), "{password}");
            assert!(password.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{password}");
        }
        assert_eq!(passwords.iter().collect::<HashSet<_>>().len(), passwords.len());
    }

    #[test]
    fn csv_has_a_header_and_starts_at_the_offset() {
        let mut out = Vec::new();
        write_csv(&mut out, 3, 10, 2).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "email,password");
        assert_eq!(lines[1], format!("student0011@school.example,{}", account(3, 10).password));
        assert_eq!(lines.len(), 3);
    }
}
