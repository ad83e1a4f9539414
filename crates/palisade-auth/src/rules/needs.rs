use std::{collections::HashMap, fmt};

use foldhash::fast::RandomState;

/// The names that a rule needs a caller to have: one of each list.
pub(super) struct Needs {
    lists: Box<[Vec<Box<str>>]>,
    /// The positions of the lists that each name is in. `None`: so few names are compared one by one.
    index: Option<HashMap<Box<str>, Vec<usize>, RandomState>>,
}

/// Up to this many names are compared with each of the caller's. A hash of a short name takes as long as two comparisons.
const FEW: usize = 2;

impl Needs {
    pub(super) fn new(lists: impl IntoIterator<Item = Vec<Box<str>>>) -> Self {
        let lists: Box<[Vec<Box<str>>]> = lists.into_iter().collect();
        let mut index = None;
        if lists.iter().map(Vec::len).sum::<usize>() > FEW {
            let by_name: &mut HashMap<Box<str>, Vec<usize>, _> = index.insert(HashMap::default());
            for (at, list) in lists.iter().enumerate() {
                list.iter().for_each(|name| by_name.entry(name.clone()).or_default().push(at));
            }
        }
        Self { lists, index }
    }

    pub(super) fn lists(&self) -> &[Vec<Box<str>>] {
        &self.lists
    }

    /// Returns true if one name of each list is among the names that a caller has. Without lists it is false.
    pub(super) fn are_met_by<'n, I: Iterator<Item = &'n str>>(&self, held: impl Fn() -> I) -> bool {
        if self.lists.is_empty() {
            return false;
        }
        let Some(index) = &self.index else {
            let has_one_of =
                |list: &Vec<Box<str>>| held().any(|held| list.iter().any(|name| **name == *held));
            return self.lists.iter().all(has_one_of);
        };
        if let [_] = &*self.lists {
            return held().any(|held| index.contains_key(held));
        }
        let mut is_met = vec![false; self.lists.len()];
        let mut missing = self.lists.len();
        for list in held().filter_map(|held| index.get(held)).flatten() {
            missing -= usize::from(!std::mem::replace(&mut is_met[*list], true));
            if missing == 0 {
                return true;
            }
        }
        false
    }
}

/// `role admin|editor & role auditor`
impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lists.is_empty() {
            return f.write_str("role");
        }
        for (index, roles) in self.lists.iter().enumerate() {
            let separator = if index == 0 { "" } else { " & " };
            write!(f, "{separator}role {}", roles.join("|"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(numbers: impl IntoIterator<Item = usize>) -> Vec<Box<str>> {
        numbers.into_iter().map(|number| format!("r{number}").into()).collect()
    }

    fn are_met(needs: &Needs, held: impl IntoIterator<Item = usize>) -> bool {
        let held = names(held);
        needs.are_met_by(|| held.iter().map(AsRef::as_ref))
    }

    #[test]
    fn long_lists_of_names_match_like_short_ones() {
        for count in [1, FEW, FEW + 1, 64] {
            let any = Needs::new([names(0..count)]);
            assert_eq!(any.index.is_some(), count > FEW);
            assert!(are_met(&any, [500, count - 1]), "{count}");
            assert!(!are_met(&any, [500, count]) && !are_met(&any, []), "{count}");

            let all = Needs::new((0..count).map(|number| names([number])));
            assert!(are_met(&all, (0..count).rev().chain([500])), "{count}");
            assert!(!are_met(&all, (1..count).chain([1, 500])), "{count}");

            // One role of each of two lists, of which one role is in both.
            let both = Needs::new([names(0..count), names(count - 1..2 * count)]);
            assert!(are_met(&both, [count - 1]), "{count}");
            assert!(are_met(&both, [0, 2 * count - 1]), "{count}");
            assert!(count == 1 || !are_met(&both, [0]), "{count}");
        }
    }

    #[test]
    fn empty_lists_match_no_caller() {
        assert!(!are_met(&Needs::new([]), [0]));
        assert!(!are_met(&Needs::new([names([])]), [0]));
        assert!(!are_met(&Needs::new([names(0..64), names([])]), 0..64));
    }
}
