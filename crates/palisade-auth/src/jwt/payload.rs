use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeSeed, Error, MapAccess, Visitor,
        value::{BorrowedStrDeserializer, StringDeserializer},
    },
    forward_to_deserialize_any,
};
use serde_json::value::RawValue;
use smallvec::{SmallVec, smallvec};

use super::no_duplicates::{Name, Names, NoDuplicates};

/// The values of claims as they are in the token.
pub(super) struct PayloadMembers<'de> {
    /// In the order of [`NAMES`].
    pub(super) registered: [Option<&'de str>; NAMES.len()],
    /// In the order in which they were asked for.
    pub(super) members: Members<'de>,
}

pub(super) type Members<'de> = SmallVec<[Option<&'de str>; 8]>;

/// The claims whose meaning is fixed, so that they cannot contain roles or tenants.
pub(super) const NAMES: [&str; 10] =
    ["exp", "nbf", "iat", "iss", "sub", "aud", "jti", "client_id", "azp", "cnf"];

/// Returns the position of a claim in [`NAMES`]. A `match` compares numbers, where a search compares memory.
fn position(name: &str) -> Option<usize> {
    Some(match name {
        "exp" => 0,
        "nbf" => 1,
        "iat" => 2,
        "iss" => 3,
        "sub" => 4,
        "aud" => 5,
        "jti" => 6,
        "client_id" => 7,
        "azp" => 8,
        "cnf" => 9,
        _ => return None,
    })
}

/// Reads an object of claims in one pass: the values of the registered claims and of other `members`, and all of them as
/// the type `C`. No member may occur twice, at any depth.
///
/// # Errors
///
/// Fails if the claims are not an object, if a member occurs twice, and if `C` does not deserialize from a map (or an `Option` or
/// a newtype of one). Such a `C` may still be readable in two passes.
pub(super) fn read<'de, C: Deserialize<'de>>(
    payload: &'de str,
    members: &[String],
) -> Result<(PayloadMembers<'de>, C), serde_json::Error> {
    let mut found =
        PayloadMembers { registered: [None; NAMES.len()], members: smallvec![None; members.len()] };
    let mut json = serde_json::Deserializer::from_str(payload);
    let claims = C::deserialize(Claims { json: &mut json, found: &mut found, members })?;
    json.end()?;
    Ok((found, claims))
}

/// Hands claims to a type, and notes those that are searched.
struct Claims<'s, 'de, D> {
    json: D,
    found: &'s mut PayloadMembers<'de>,
    members: &'s [String],
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Claims<'_, 'de, D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let Self { json, found, members } = self;
        json.deserialize_map(Noting { visitor, found, members })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

struct Noting<'s, 'de, V> {
    visitor: V,
    found: &'s mut PayloadMembers<'de>,
    members: &'s [String],
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Noting<'_, 'de, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of claims")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        let Self { visitor, found, members } = self;
        let names = Names::default();
        let mut noted = Noted { map, found, members, names, registered: None, member: None };
        let value = visitor.visit_map(&mut noted)?;
        noted.names.check()?;
        Ok(value)
    }
}

struct Noted<'s, 'de, A> {
    map: A,
    found: &'s mut PayloadMembers<'de>,
    members: &'s [String],
    /// The names that are not registered.
    names: Names<'de>,
    /// The positions of the next value, if it is searched.
    registered: Option<usize>,
    member: Option<usize>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for &mut Noted<'_, 'de, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        let Some(Name(name)) = self.map.next_key()? else { return Ok(None) };
        self.registered = position(&name);
        self.member = self.members.iter().position(|member| **member == *name);
        match self.registered {
            Some(at) if self.found.registered[at].is_some() => return Err(Names::twice()),
            Some(_) => {}
            None => self.names.add(Name(name.clone()))?,
        }
        match name {
            Cow::Borrowed(name) => seed.deserialize(BorrowedStrDeserializer::new(name)),
            Cow::Owned(name) => seed.deserialize(StringDeserializer::new(name)),
        }
        .map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let value = self.map.next_value::<&'de RawValue>()?.get();
        if !is_simple(value) {
            serde_json::from_str::<NoDuplicates>(value).map_err(A::Error::custom)?;
        }
        if let Some(at) = self.registered {
            self.found.registered[at] = Some(value);
        }
        if let Some(at) = self.member {
            self.found.members[at] = Some(value);
        }
        let mut json = serde_json::Deserializer::from_str(value);
        let read = seed.deserialize(&mut json).map_err(A::Error::custom)?;
        json.end().map_err(A::Error::custom)?;
        Ok(read)
    }
}

/// Returns true if a JSON value is read without an error by every parser: a string without escapes, an integer, or a
/// literal.
fn is_simple(value: &str) -> bool {
    match value.as_bytes() {
        [b'"', ..] => plain_text(value).is_some(),
        [b't' | b'f' | b'n', ..] => true,
        digits => digits.len() < 16 && digits.iter().all(u8::is_ascii_digit),
    }
}

/// Returns the text of a JSON string without escapes.
pub(super) fn plain_text(value: &str) -> Option<&str> {
    let text = value.strip_prefix('"')?.strip_suffix('"')?;
    (!text.as_bytes().contains(&b'\\')).then_some(text)
}
