use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use smallvec::SmallVec;

/// Any JSON value in which no object has a member twice: two parsers that disagree on which one counts would see two
/// different tokens (RFC 7515, section 4; RFC 7519, section 4).
pub(crate) struct NoDuplicates;

impl NoDuplicates {
    /// Checks a JSON object.
    pub(crate) fn check(json: &[u8]) -> Result<(), serde_json::Error> {
        if json.first() != Some(&b'{') {
            return Err(serde_json::Error::custom("not an object"));
        }
        serde_json::from_slice::<Self>(json).map(|_| ())
    }
}

/// The name of a member.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// The names of an object's members, as they come.
#[derive(Default)]
pub(super) struct Names<'a>(SmallVec<[Name<'a>; FEW]>);

impl<'a> Names<'a> {
    pub(super) fn add<E: Error>(&mut self, name: Name<'a>) -> Result<(), E> {
        // A few names are compared as they come. Many are sorted in the end, so that a thousand of them do not take a
        // million comparisons.
        if self.0.len() < FEW && self.0.contains(&name) {
            return Err(Self::twice());
        }
        self.0.push(name);
        Ok(())
    }

    /// Rejects names that came twice.
    pub(super) fn check<E: Error>(mut self) -> Result<(), E> {
        if self.0.len() > FEW {
            self.0.sort_unstable();
            if self.0.windows(2).any(|pair| pair[0] == pair[1]) {
                return Err(Self::twice());
            }
        }
        Ok(())
    }

    /// Returns the error for a name that comes twice.
    pub(super) fn twice<E: Error>() -> E {
        E::custom("a member is there twice")
    }
}

const FEW: usize = 16;

impl<'de> Deserialize<'de> for NoDuplicates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = NoDuplicates;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate members")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NoDuplicates, A::Error> {
        let mut names = Names::default();
        while let Some(name) = map.next_key::<Name<'de>>()? {
            names.add(name)?;
            map.next_value::<NoDuplicates>()?;
        }
        names.check().map(|()| NoDuplicates)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<NoDuplicates, A::Error> {
        while list.next_element::<NoDuplicates>()?.is_some() {}
        Ok(NoDuplicates)
    }

    fn visit_bool<E>(self, _: bool) -> Result<NoDuplicates, E> {
        Ok(NoDuplicates)
    }

    fn visit_i64<E>(self, _: i64) -> Result<NoDuplicates, E> {
        Ok(NoDuplicates)
    }

    fn visit_u64<E>(self, _: u64) -> Result<NoDuplicates, E> {
        Ok(NoDuplicates)
    }

    fn visit_f64<E>(self, _: f64) -> Result<NoDuplicates, E> {
        Ok(NoDuplicates)
    }

    fn visit_str<E>(self, _: &str) -> Result<NoDuplicates, E> {
        Ok(NoDuplicates)
    }

    fn visit_unit<E>(self) -> Result<NoDuplicates, E> {
        Ok(NoDuplicates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicate_member_is_found_at_any_depth_and_spelling() {
        for good in [r"{}", r#"{"a":1,"b":{"a":[1.5,-2,"x",null,true]}}"#, r#"{"a":{"a":1}}"#] {
            assert!(NoDuplicates::check(good.as_bytes()).is_ok(), "{good}");
        }
        for bad in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"b":2,"a":1}"#,
            r#"{"a":1,"\u0061":1}"#,
            r#"{"x":[{"a":1,"a":2}]}"#,
            r#"{"a":0,"b":0,"c":0,"d":0,"e":0,"f":0,"g":0,"h":0,"i":0,"j":0,"k":0,"l":0,"m":0,"n":0,"o":0,"p":0,"q":0,"a":0}"#,
            r"[]",
            r"1",
            r"",
            r"{",
            r"{}x",
        ] {
            assert!(NoDuplicates::check(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
