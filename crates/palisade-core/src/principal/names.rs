use std::{cell::Cell, fmt, sync::Arc};

/// The names that a principal consists of, in one allocation.
///
/// It is a text, so that names are read from it without checking them again: issuer, subject, roles, scopes, tenants, and
/// in the end the four positions where the first four of these end. Each role, scope and tenant begins with its length. A
/// number is written as five characters of seven bits, which is enough for 32 GiB.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Names(Arc<str>);

const NUMBER: usize = 5;

thread_local! {
    /// The text that this thread wrote last, for its memory.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The most memory that a thread keeps for the next text, in bytes.
const MAX_SCRATCH: usize = 8 * 1024;

/// Writes [`Names`] in their order.
pub(super) struct Writer {
    text: Vec<u8>,
    ends: [usize; 4],
}

/// A name of the tenants' section: a tenant, or a role in the tenant before it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Tenant,
}

impl Writer {
    pub(super) fn new(issuer: &str, subject: &str) -> Self {
        // Without one while the thread ends.
        let mut text = SCRATCH.try_with(Cell::take).unwrap_or_default();
        text.clear();
        text.extend_from_slice(issuer.as_bytes());
        let issuer_end = text.len();
        text.extend_from_slice(subject.as_bytes());
        let subject_end = text.len();
        Self { text, ends: [issuer_end, subject_end, 0, 0] }
    }

    pub(super) fn roles(mut self, roles: impl IntoIterator<Item: AsRef<str>>) -> Self {
        roles.into_iter().for_each(|role| self.push(role.as_ref(), Kind::Plain));
        self.ends[2] = self.text.len();
        self
    }

    pub(super) fn scopes(mut self, scopes: impl IntoIterator<Item: AsRef<str>>) -> Self {
        scopes.into_iter().for_each(|scope| self.push(scope.as_ref(), Kind::Plain));
        self.ends[3] = self.text.len();
        self
    }

    pub(super) fn tenant(&mut self, name: &str, roles: impl IntoIterator<Item: AsRef<str>>) {
        self.push(name, Kind::Tenant);
        roles.into_iter().for_each(|role| self.push(role.as_ref(), Kind::Plain));
    }

    pub(super) fn finish(mut self) -> Names {
        for end in self.ends {
            self.text.extend_from_slice(&digits(end));
        }
        // Checked once, and not for each name. It holds, because names and numbers are text.
        let names = Names(std::str::from_utf8(&self.text).unwrap_or_default().into());
        if self.text.capacity() <= MAX_SCRATCH {
            let _ = SCRATCH.try_with(|scratch| scratch.set(self.text));
        }
        names
    }

    fn push(&mut self, name: &str, kind: Kind) {
        self.text.extend_from_slice(&digits(2 * name.len() + usize::from(kind == Kind::Tenant)));
        self.text.extend_from_slice(name.as_bytes());
    }
}

fn digits(number: usize) -> [u8; NUMBER] {
    std::array::from_fn(|at| ((number >> (7 * at)) & 0x7f) as u8)
}

#[inline]
fn read_number(digits: [u8; NUMBER]) -> usize {
    digits.iter().rev().fold(0, |number, digit| (number << 7) | usize::from(*digit))
}

impl Names {
    pub(super) fn issuer(&self) -> &str {
        &self.0[..self.end(0)]
    }

    pub(super) fn subject(&self) -> &str {
        &self.0[self.end(0)..self.end(1)]
    }

    #[inline]
    pub(super) fn roles(&self) -> impl Iterator<Item = &str> + Clone {
        Items(&self.0[self.end(1)..self.end(2)]).map(|(name, _)| name)
    }

    pub(super) fn scopes(&self) -> impl Iterator<Item = &str> + Clone {
        Items(&self.0[self.end(2)..self.end(3)]).map(|(name, _)| name)
    }

    pub(super) fn tenants(&self) -> Tenants<'_> {
        Tenants(Items(&self.0[self.end(3)..self.0.len() - 4 * NUMBER]))
    }

    /// Returns the same names in another allocation.
    pub(super) fn to_unshared(&self) -> Self {
        Self((*self.0).into())
    }

    /// Returns the position where a section ends.
    #[inline]
    fn end(&self, section: usize) -> usize {
        let (_, ends) = self.0.as_bytes().as_rchunks::<NUMBER>();
        read_number(ends[ends.len() - 4 + section])
    }
}

/// The names of a section.
#[derive(Clone, Default)]
struct Items<'a>(&'a str);

impl<'a> Iterator for Items<'a> {
    type Item = (&'a str, Kind);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let number = read_number(*self.0.as_bytes().first_chunk()?);
        let (name, rest) = self.0[NUMBER..].split_at(number / 2);
        self.0 = rest;
        Some((name, if number % 2 == 1 { Kind::Tenant } else { Kind::Plain }))
    }
}

/// A tenant, with the roles in it.
#[derive(Clone)]
pub(super) struct Tenant<'a> {
    pub(super) name: &'a str,
    /// Begins with the roles in the tenant. The next tenant follows.
    rest: Items<'a>,
}

impl<'a> Tenant<'a> {
    pub(super) fn roles(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        self.rest.clone().take_while(|(_, kind)| *kind == Kind::Plain).map(|(name, _)| name)
    }
}

#[derive(Clone)]
pub(super) struct Tenants<'a>(Items<'a>);

impl<'a> Iterator for Tenants<'a> {
    type Item = Tenant<'a>;

    fn next(&mut self) -> Option<Tenant<'a>> {
        let (name, _) = self.0.find(|(_, kind)| *kind == Kind::Tenant)?;
        Some(Tenant { name, rest: self.0.clone() })
    }
}

impl fmt::Debug for Tenant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.roles().next().is_none() {
            return fmt::Debug::fmt(self.name, f);
        }
        f.debug_tuple(self.name).field(&self.roles().collect::<Vec<_>>()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Lists<'a> = (Vec<&'a str>, Vec<&'a str>, Vec<(&'a str, Vec<&'a str>)>);

    fn read(names: &Names) -> Lists<'_> {
        let tenants = names.tenants().map(|tenant| (tenant.name, tenant.roles().collect()));
        (names.roles().collect(), names.scopes().collect(), tenants.collect())
    }

    #[test]
    fn names_of_any_content_and_length_round_trip() {
        let long = "é".repeat(20_000);
        for odd in ["", "\0\0\0\0\0", "\u{7f}", "🦀", "a\u{1}b", &long] {
            let mut writer = Writer::new(odd, odd).roles([odd, "x"]).scopes(["", odd]);
            writer.tenant(odd, [odd, odd]);
            writer.tenant("", [""; 0]);
            writer.tenant("last", [""]);
            let names = writer.finish();
            assert_eq!((names.issuer(), names.subject()), (odd, odd));
            let tenants = vec![(odd, vec![odd, odd]), ("", vec![]), ("last", vec![""])];
            assert_eq!(read(&names), (vec![odd, "x"], vec!["", odd], tenants));
            assert!(names == names.to_unshared());
        }
    }

    #[test]
    fn sections_are_separated() {
        let names = Writer::new("", "").roles([""; 0]).scopes(["a"]).finish();
        assert_eq!(read(&names), (vec![], vec!["a"], vec![]));
        let names = Writer::new("", "").roles(["a"]).scopes([""; 0]).finish();
        assert_eq!(read(&names), (vec!["a"], vec![], vec![]));
        let other = Writer::new("", "a").roles([""; 0]).scopes([""; 0]).finish();
        assert!(names != other);
    }
}
