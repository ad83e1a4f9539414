use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    fault::Fault,
    no_duplicates::{Name, Names, NoDuplicates},
};
use crate::sender::Confirmation;

/// The claims that the checks read (RFC 7519, section 4.1; RFC 9068, section 2.2). A claim that is `null` is absent. A
/// time is a JSON number: a string of digits is rejected.
#[derive(Default)]
pub(super) struct Registered<'a> {
    pub(super) exp: Option<f64>,
    pub(super) nbf: Option<f64>,
    pub(super) iat: Option<f64>,
    pub(super) iss: Option<Cow<'a, str>>,
    pub(super) sub: Option<Cow<'a, str>>,
    pub(super) aud: Vec<Cow<'a, str>>,
    /// A number is taken as its digits.
    pub(super) jti: Option<Cow<'a, str>>,
    pub(super) client_id: Option<Cow<'a, str>>,
    pub(super) azp: Option<Cow<'a, str>>,
    /// The key of the client that the token is bound to.
    pub(super) cnf: Option<Confirmation>,
    /// The values of the members that were asked for, as they stand in the token, in the order of the request.
    pub(super) members: Vec<Option<&'a RawValue>>,
}

/// The claims whose meaning is fixed, so that they cannot contain roles or tenants.
pub(super) const NAMES: [&str; 10] =
    ["exp", "nbf", "iat", "iss", "sub", "aud", "jti", "client_id", "azp", "cnf"];

impl<'a> Registered<'a> {
    /// Reads the registered claims and the values of other `members`. No member may occur twice, at any depth.
    pub(super) fn read(payload: &'a [u8], members: &[String]) -> Result<Self, Fault> {
        let mut json = serde_json::Deserializer::from_slice(payload);
        let found = Wanted(members)
            .deserialize(&mut json)
            .and_then(|found| json.end().map(|()| found))
            .map_err(|error| Fault::unreadable(None, error))?;
        let [exp, nbf, iat, iss, sub, aud, jti, client_id, azp, cnf] = found.registered;
        Ok(Self {
            exp: typed("exp", exp)?,
            nbf: typed("nbf", nbf)?,
            iat: typed("iat", iat)?,
            iss: text("iss", iss)?,
            sub: text("sub", sub)?,
            aud: typed::<Texts<'a>>("aud", aud)?.map(|texts| texts.0).unwrap_or_default(),
            jti: text_or_number("jti", jti)?,
            client_id: text("client_id", client_id)?,
            azp: text("azp", azp)?,
            cnf: typed("cnf", cnf)?,
            members: found.members,
        })
    }

    /// Reads only the issuer, to select the keys. The token is not verified yet.
    pub(super) fn issuer(payload: &'a [u8]) -> Option<Cow<'a, str>> {
        #[derive(Deserialize)]
        struct Issuer<'a> {
            #[serde(borrow)]
            iss: Text<'a>,
        }
        serde_json::from_slice::<Issuer<'a>>(payload).ok().map(|claims| claims.iss.0)
    }
}

fn typed<'a, T: Deserialize<'a>>(
    claim: &'static str,
    value: Option<&'a RawValue>,
) -> Result<Option<T>, Fault> {
    let Some(value) = value else { return Ok(None) };
    serde_json::from_str(value.get()).map_err(|error| Fault::unreadable(Some(claim), error))
}

fn text<'a>(
    claim: &'static str,
    value: Option<&'a RawValue>,
) -> Result<Option<Cow<'a, str>>, Fault> {
    Ok(typed::<Text<'a>>(claim, value)?.map(|text| text.0))
}

fn text_or_number<'a>(
    claim: &'static str,
    value: Option<&'a RawValue>,
) -> Result<Option<Cow<'a, str>>, Fault> {
    let digits =
        |text: &str| text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    match value.map(RawValue::get).filter(|text| digits(text)) {
        Some(number) => Ok(Some(Cow::Borrowed(number))),
        None => text(claim, value),
    }
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The names of the members to keep, beside the registered ones.
struct Wanted<'w>(&'w [String]);

struct Found<'a> {
    registered: [Option<&'a RawValue>; NAMES.len()],
    members: Vec<Option<&'a RawValue>>,
}

impl<'de> DeserializeSeed<'de> for Wanted<'_> {
    type Value = Found<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = Found<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of claims")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found<'de>, A::Error> {
        let mut found =
            Found { registered: [None; NAMES.len()], members: vec![None; self.0.len()] };
        let mut names = Names::default();
        while let Some(name) = map.next_key::<Name<'de>>()? {
            let registered = NAMES.iter().position(|other| **other == *name.0);
            let member = self.0.iter().position(|other| **other == *name.0);
            if registered.is_none() && member.is_none() {
                map.next_value::<NoDuplicates>()?;
            } else {
                let value: &'de RawValue = map.next_value()?;
                serde_json::from_str::<NoDuplicates>(value.get()).map_err(A::Error::custom)?;
                if let Some(at) = registered {
                    found.registered[at] = Some(value);
                }
                if let Some(at) = member {
                    found.members[at] = Some(value);
                }
            }
            names.add(name)?;
        }
        names.check().map(|()| found)
    }
}

/// A string, or a list of strings.
#[derive(Default)]
pub(super) struct Texts<'a>(pub(super) Vec<Cow<'a, str>>);

impl<'de> Deserialize<'de> for Texts<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMany)
    }
}

struct OneOrMany;

impl<'de> Visitor<'de> for OneOrMany {
    type Value = Texts<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of strings")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Texts<'de>, E> {
        Ok(Texts(vec![Cow::Borrowed(text)]))
    }

    fn visit_str<E>(self, text: &str) -> Result<Texts<'de>, E> {
        Ok(Texts(vec![Cow::Owned(text.to_owned())]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Texts<'de>, A::Error> {
        let mut texts = Vec::new();
        while let Some(Text(text)) = list.next_element()? {
            texts.push(text);
        }
        Ok(Texts(texts))
    }
}
