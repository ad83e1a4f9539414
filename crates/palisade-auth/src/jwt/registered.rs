use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::no_duplicates::{Name, Names, NoDuplicates};

/// The claims that we look at ourselves (RFC 7519, section 4.1; RFC 9068, section 2.2). A number is a JSON number: a
/// string that looks like one is refused.
#[derive(Default)]
pub(super) struct Registered<'a> {
    pub(super) exp: Option<f64>,
    pub(super) nbf: Option<f64>,
    pub(super) iat: Option<f64>,
    pub(super) iss: Option<Cow<'a, str>>,
    pub(super) sub: Option<Cow<'a, str>>,
    pub(super) aud: Many<'a>,
    pub(super) jti: Option<Cow<'a, str>>,
    pub(super) client_id: Option<Cow<'a, str>>,
    pub(super) scope: Option<Cow<'a, str>>,
    pub(super) scp: Many<'a>,
    /// The members that roles and tenants are inside of, as they stand in the token.
    pub(super) roles: Option<&'a RawValue>,
    pub(super) tenants: Option<&'a RawValue>,
}

/// The names that cannot hold roles or tenants.
pub(super) const NAMES: [&str; 10] =
    ["exp", "nbf", "iat", "iss", "sub", "aud", "jti", "client_id", "scope", "scp"];

impl<'a> Registered<'a> {
    /// Reads claims. `roles` and `tenants` are the names of the members that hold them. No member may be there twice,
    /// at any depth.
    pub(super) fn read(
        payload: &'a [u8],
        roles: &str,
        tenants: &str,
    ) -> Result<Self, serde_json::Error> {
        let mut json = serde_json::Deserializer::from_slice(payload);
        let claims = Wanted { roles, tenants }.deserialize(&mut json)?;
        json.end()?;
        Ok(claims)
    }

    /// Reads the issuer only, to find out whose keys to ask. Nothing is verified yet.
    pub(super) fn issuer(payload: &'a [u8]) -> Option<Cow<'a, str>> {
        #[derive(Deserialize)]
        struct Issuer<'a> {
            #[serde(borrow)]
            iss: Text<'a>,
        }
        serde_json::from_slice::<Issuer<'a>>(payload).ok().map(|claims| claims.iss.0)
    }
}

struct Wanted<'w> {
    roles: &'w str,
    tenants: &'w str,
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> DeserializeSeed<'de> for Wanted<'_> {
    type Value = Registered<'de>;

    fn deserialize<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Registered<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = Registered<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of claims")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Registered<'de>, A::Error> {
        let mut claims = Registered::default();
        let mut names = Names::default();
        while let Some(name) = map.next_key::<Name<'de>>()? {
            let text = |map: &mut A| map.next_value::<Text<'de>>().map(|text| Some(text.0));
            match &*name.0 {
                "exp" => claims.exp = Some(map.next_value()?),
                "nbf" => claims.nbf = Some(map.next_value()?),
                "iat" => claims.iat = Some(map.next_value()?),
                "iss" => claims.iss = text(&mut map)?,
                "sub" => claims.sub = text(&mut map)?,
                "aud" => claims.aud = map.next_value()?,
                "jti" => claims.jti = text(&mut map)?,
                "client_id" => claims.client_id = text(&mut map)?,
                "scope" => claims.scope = text(&mut map)?,
                "scp" => claims.scp = map.next_value()?,
                other if other == self.roles || other == self.tenants => {
                    let value: &'de RawValue = map.next_value()?;
                    serde_json::from_str::<NoDuplicates>(value.get()).map_err(A::Error::custom)?;
                    if other == self.roles {
                        claims.roles = Some(value);
                    }
                    if other == self.tenants {
                        claims.tenants = Some(value);
                    }
                }
                _ => {
                    map.next_value::<NoDuplicates>()?;
                }
            }
            names.add(name)?;
        }
        names.check().map(|()| claims)
    }
}

/// A text, or a list of texts.
#[derive(Default)]
pub(super) struct Many<'a>(pub(super) Vec<Cow<'a, str>>);

impl<'de> Deserialize<'de> for Many<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMany)
    }
}

struct OneOrMany;

impl<'de> Visitor<'de> for OneOrMany {
    type Value = Many<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a list of texts")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Many<'de>, E> {
        Ok(Many(vec![Cow::Borrowed(text)]))
    }

    fn visit_str<E>(self, text: &str) -> Result<Many<'de>, E> {
        Ok(Many(vec![Cow::Owned(text.to_owned())]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Many<'de>, A::Error> {
        let mut texts = Vec::new();
        while let Some(Text(text)) = list.next_element()? {
            texts.push(text);
        }
        Ok(Many(texts))
    }
}
