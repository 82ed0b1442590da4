//! Whole numbers that come batch by batch, kept as they came: one list would be copied each time that it grows.

/// Numbers in no order.
#[derive(Debug, Default)]
pub(super) struct Values {
    own: Vec<u64>,
    parts: Vec<Vec<u64>>,
}

impl Values {
    pub(super) fn push(&mut self, value: u64) {
        self.own.push(value);
    }

    /// Adds what came elsewhere.
    pub(super) fn add(&mut self, other: Self) {
        let own = Some(other.own).filter(|own| !own.is_empty());
        self.parts.extend(own.into_iter().chain(other.parts));
    }

    pub(super) fn len(&self) -> usize {
        self.own.len() + self.parts.iter().map(Vec::len).sum::<usize>()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them as one list.
    pub(super) fn of_all<'a>(many: impl IntoIterator<Item = &'a Self, IntoIter: Clone>) -> Vec<u64> {
        let many = many.into_iter();
        let mut list = Vec::with_capacity(many.clone().map(Self::len).sum());
        many.for_each(|values| {
            list.extend(&values.own);
            values.parts.iter().for_each(|part| list.extend(part));
        });
        list
    }
}

impl From<Values> for Vec<u64> {
    fn from(values: Values) -> Self {
        if values.parts.is_empty() { values.own } else { Values::of_all([&values]) }
    }
}

impl Extend<u64> for Values {
    fn extend<I: IntoIterator<Item = u64>>(&mut self, values: I) {
        self.own.extend(values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_between_batches() {
        let (mut all, mut batch, mut nested) = (Values::default(), Values::default(), Values::default());
        assert!(all.is_empty());
        all.extend([1, 2]);
        batch.push(3);
        nested.push(4);
        batch.add(nested);
        all.add(batch);
        all.add(Values::default());
        all.push(5);
        assert_eq!(all.len(), 5);
        let twice = Values::of_all([&all, &all]);
        let mut list = Vec::from(all);
        list.sort_unstable();
        assert_eq!(list, [1, 2, 3, 4, 5]);
        assert_eq!(twice.len(), 10);
    }
}
