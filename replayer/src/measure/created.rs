//! What a run created at its target, by route: rows of `created.csv`, and how many there are.

use serde::{Deserialize, Serialize};

/// Longer ones are no ids.
const ID_BYTES_MAX: usize = 1024;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Created {
    max: usize,
    rows: Vec<Row>,
    dropped: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    route: usize,
    /// Number of the clone.
    user: usize,
    id: String,
}

/// What the list holds, and what it does not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedCounts {
    pub listed: u64,
    /// Left out when the list was full, or the id too long for one.
    pub dropped: u64,
}

impl Created {
    pub fn at_most(max: usize) -> Self {
        Self { max, ..Self::default() }
    }

    pub fn add(&mut self, route: usize, user: usize, id: String) {
        if self.rows.len() < self.max && id.len() <= ID_BYTES_MAX {
            self.rows.push(Row { route, user, id });
        } else {
            self.dropped += 1;
        }
    }

    pub fn merge(&mut self, other: &Self) {
        self.max = self.max.max(other.max);
        self.dropped += other.dropped;
        other.rows.iter().for_each(|row| self.add(row.route, row.user, row.id.clone()));
    }

    pub fn counts(&self) -> CreatedCounts {
        CreatedCounts { listed: self.rows.len() as u64, dropped: self.dropped }
    }

    /// `route,user,id`, a line each; routes are named by `labels`.
    pub fn to_csv(&self, labels: &[String]) -> Result<String, csv::Error> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["route", "user", "id"])?;
        for Row { route, user, id } in &self.rows {
            let label = labels.get(*route).map(String::as_str).unwrap_or_default();
            writer.write_record([label, &user.to_string(), id])?;
        }
        let bytes = writer.into_inner().map_err(csv::IntoInnerError::into_error)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_bounded_and_says_what_it_lacks() {
        let mut one = Created::at_most(2);
        one.add(0, 7, "a,b".to_owned());
        let mut two = Created::at_most(2);
        two.add(1, 8, "x".repeat(ID_BYTES_MAX + 1));
        two.add(1, 8, "/tasks/1".to_owned());
        two.add(1, 9, "/tasks/2".to_owned());
        one.merge(&two);
        assert_eq!(one.counts(), CreatedCounts { listed: 2, dropped: 2 });
        let labels = ["POST /a".to_owned(), "POST /tasks".to_owned()];
        assert_eq!(
            one.to_csv(&labels).unwrap(),
            "route,user,id\nPOST /a,7,\"a,b\"\nPOST /tasks,8,/tasks/1\n"
        );
    }
}
