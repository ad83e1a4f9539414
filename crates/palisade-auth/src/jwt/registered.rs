use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use smallvec::{SmallVec, smallvec};

use super::{
    fault::Fault,
    payload::{Members, PayloadMembers, plain_text},
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
    pub(super) aud: List<'a>,
    /// A number is taken as its digits.
    pub(super) jti: Option<Cow<'a, str>>,
    pub(super) client_id: Option<Cow<'a, str>>,
    pub(super) azp: Option<Cow<'a, str>>,
    /// The key of the client that the token is bound to.
    pub(super) cnf: Option<Confirmation>,
    /// The values of the members that were asked for, as they stand in the token, in the order of the request.
    pub(super) members: Members<'a>,
}

impl<'a> Registered<'a> {
    pub(super) fn new(found: PayloadMembers<'a>) -> Result<Self, Fault> {
        let [exp, nbf, iat, iss, sub, aud, jti, client_id, azp, cnf] = found.registered;
        Ok(Self {
            exp: time("exp", exp)?,
            nbf: time("nbf", nbf)?,
            iat: time("iat", iat)?,
            iss: text("iss", iss)?,
            sub: text("sub", sub)?,
            aud: match aud.and_then(plain_text) {
                Some(aud) => smallvec![Cow::Borrowed(aud)],
                None => typed::<Texts<'a>>("aud", aud)?.unwrap_or_default().0,
            },
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
    value: Option<&'a str>,
) -> Result<Option<T>, Fault> {
    let Some(value) = value else { return Ok(None) };
    serde_json::from_str(value).map_err(|error| Fault::unreadable(Some(claim), error))
}

fn time(claim: &'static str, value: Option<&str>) -> Result<Option<f64>, Fault> {
    match value.map(str::parse::<u64>) {
        Some(Ok(seconds)) => Ok(Some(seconds as f64)),
        _ => typed(claim, value),
    }
}

fn text<'a>(claim: &'static str, value: Option<&'a str>) -> Result<Option<Cow<'a, str>>, Fault> {
    match value.and_then(plain_text) {
        Some(text) => Ok(Some(Cow::Borrowed(text))),
        None => Ok(typed::<Text<'a>>(claim, value)?.map(|text| text.0)),
    }
}

fn text_or_number<'a>(
    claim: &'static str,
    value: Option<&'a str>,
) -> Result<Option<Cow<'a, str>>, Fault> {
    let is_number =
        |text: &str| text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    match value.filter(|text| is_number(text)) {
        Some(number) => Ok(Some(Cow::Borrowed(number))),
        None => text(claim, value),
    }
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A string, or a list of strings.
#[derive(Default)]
pub(super) struct Texts<'a>(pub(super) List<'a>);

/// Texts, borrowed from the token where they have no escapes.
pub(super) type List<'a> = SmallVec<[Cow<'a, str>; 8]>;

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
        Ok(Texts(smallvec![Cow::Borrowed(text)]))
    }

    fn visit_str<E>(self, text: &str) -> Result<Texts<'de>, E> {
        Ok(Texts(smallvec![Cow::Owned(text.to_owned())]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Texts<'de>, A::Error> {
        let mut texts = List::new();
        while let Some(Text(text)) = list.next_element()? {
            texts.push(text);
        }
        Ok(Texts(texts))
    }
}
