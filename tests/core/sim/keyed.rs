//! Values by the keys of rows, in their order: made at once and only read from then on, at a fraction of what a tree costs.

use std::cmp::Ordering;

/// Of two values of one key it has the later one.
#[derive(Debug)]
pub struct Keyed<T>(Vec<(i64, T)>);

impl<T> Keyed<T> {
    fn place(&self, key: i64) -> Option<usize> {
        self.0.binary_search_by_key(&key, |(key, _)| *key).ok()
    }

    pub fn get(&self, key: i64) -> Option<&T> {
        self.place(key).map(|place| &self.0[place].1)
    }

    pub fn get_mut(&mut self, key: i64) -> Option<&mut T> {
        self.place(key).map(|place| &mut self.0[place].1)
    }

    pub fn has(&self, key: i64) -> bool {
        self.place(key).is_some()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (i64, &T)> {
        self.0.iter().map(|(key, value)| (*key, value))
    }
}

impl<T> Default for Keyed<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> IntoIterator for Keyed<T> {
    type Item = (i64, T);
    type IntoIter = std::vec::IntoIter<(i64, T)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<T> FromIterator<(i64, T)> for Keyed<T> {
    fn from_iter<I: IntoIterator<Item = (i64, T)>>(values: I) -> Self {
        let mut values: Vec<_> = values.into_iter().collect();
        let by_key = |(one, _): &(i64, T), (other, _): &(i64, T)| one.cmp(other);
        if !values.is_sorted_by(|one, other| by_key(one, other) == Ordering::Less) {
            values.sort_by(by_key);
            values.dedup_by(|later, earlier| {
                let is_same = later.0 == earlier.0;
                if is_same {
                    std::mem::swap(later, earlier);
                }
                is_same
            });
        }
        Self(values)
    }
}
