use std::borrow::Cow;

use serde::{Deserialize, de::value::BorrowedStrDeserializer};
use smallvec::SmallVec;

use super::{
    fault::Fault,
    members::{self, Names, Value},
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
    pub(super) members: SmallVec<[Option<Value<'a>>; 4]>,
}

impl<'a> Registered<'a> {
    /// Reads an object of claims: the registered claims, and the values of other `members`.
    ///
    /// # Errors
    ///
    /// Fails if a member occurs twice, at any depth, or if a registered claim has a wrong type.
    pub(super) fn read(&mut self, payload: &'a str, members: &[String]) -> Result<(), Fault> {
        self.members.resize(members.len(), None);
        let mut found = [None; NAMES.len()];
        let mut others = Names::default();
        members::read(payload, |name, value| {
            let Some(at) = position(&name) else {
                if let Some(at) = members.iter().position(|member| **member == *name) {
                    self.members[at] = Some(value);
                }
                return others.add(name);
            };
            match found[at].replace(value) {
                None => Ok(()),
                Some(_) => Err(Names::TWICE),
            }
        })
        .and_then(|()| others.check())
        .map_err(|error| Fault::unreadable(None, error))?;
        for (name, value) in members.iter().zip(&mut self.members) {
            if let Some(at) = position(name) {
                *value = found[at];
            }
        }

        let [exp, nbf, iat, iss, sub, aud, jti, client_id, azp, cnf] = found;
        self.exp = time("exp", exp)?;
        self.nbf = time("nbf", nbf)?;
        self.iat = time("iat", iat)?;
        self.iss = text("iss", iss)?;
        self.sub = text("sub", sub)?;
        read_list("aud", aud, &mut self.aud)?;
        self.jti = text_or_number("jti", jti)?;
        self.client_id = text("client_id", client_id)?;
        self.azp = text("azp", azp)?;
        self.cnf = typed("cnf", cnf)?;
        Ok(())
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

fn typed<'a, T: Deserialize<'a>>(
    claim: &'static str,
    value: Option<Value<'a>>,
) -> Result<Option<T>, Fault> {
    match value {
        None | Some(Value::Json("null")) => return Ok(None),
        Some(Value::Json(json)) => serde_json::from_str(json),
        Some(Value::Text(text)) => T::deserialize(BorrowedStrDeserializer::new(text)),
    }
    .map(Some)
    .map_err(|error| Fault::unreadable(Some(claim), error))
}

#[inline]
fn time(claim: &'static str, value: Option<Value<'_>>) -> Result<Option<f64>, Fault> {
    if let Some(Value::Json(json)) = value
        && let Ok(seconds) = json.parse::<u64>()
    {
        return Ok(Some(seconds as f64));
    }
    typed(claim, value)
}

#[inline]
fn text<'a>(claim: &'static str, value: Option<Value<'a>>) -> Result<Option<Cow<'a, str>>, Fault> {
    match value {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(Cow::Borrowed(text))),
        _ => Ok(typed::<String>(claim, value)?.map(Cow::Owned)),
    }
}

fn text_or_number<'a>(
    claim: &'static str,
    value: Option<Value<'a>>,
) -> Result<Option<Cow<'a, str>>, Fault> {
    let is_number =
        |json: &str| json.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    match value {
        Some(Value::Json(json)) if is_number(json) => Ok(Some(Cow::Borrowed(json))),
        _ => text(claim, value),
    }
}

fn read_list<'a>(
    claim: &'static str,
    value: Option<Value<'a>>,
    list: &mut List<'a>,
) -> Result<(), Fault> {
    let (Some(value), false) = (value, value == Some(Value::Json("null"))) else { return Ok(()) };
    let mut is_text = true;
    let mut add = |item: Value<'a>| match item.text() {
        Some(text) => list.push(text),
        None => is_text = false,
    };
    if value.items(&mut add).is_none() {
        add(value);
    }
    if is_text {
        Ok(())
    } else {
        Err(Fault::unreadable(Some(claim), "not a string or a list of strings"))
    }
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Texts, borrowed from the token where they have no escapes.
pub(super) type List<'a> = SmallVec<[Cow<'a, str>; 4]>;

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'a>(payload: &'a str, members: &[&str]) -> Result<Registered<'a>, Fault> {
        let members: Vec<String> = members.iter().map(|name| (*name).to_owned()).collect();
        let mut claims = Registered::default();
        claims.read(payload, &members).map(|()| claims)
    }

    #[test]
    fn each_claim_may_occur_once() {
        for name in NAMES.iter().chain(&["roles", "other"]) {
            // null is absent, but counts
            let payload = format!(r#"{{"{name}":null,"x":1,"{name}":null}}"#);
            let fault = read(&payload, &["roles"]).err().unwrap();
            assert!(matches!(fault, Fault::Unreadable(None, _)), "{name}: {fault:?}");
            let once = payload.replacen(name, "y", 1);
            assert!(read(&once, &["roles"]).is_ok(), "{name}");
        }
    }

    #[test]
    fn registered_claim_may_be_a_member_that_is_asked_for() {
        let claims = read(r#"{"azp":"a","roles":["b"]}"#, &["roles", "azp", "none"]).unwrap();
        assert_eq!(claims.azp.as_deref(), Some("a"));
        let expected = [Some(Value::Json(r#"["b"]"#)), Some(Value::Text("a")), None];
        assert_eq!(claims.members[..], expected);
    }

    #[test]
    fn claims_of_a_wrong_type_are_named() {
        for (name, value) in [
            ("exp", r#""1""#),
            ("nbf", "[]"),
            ("iat", "true"),
            ("iss", "1"),
            ("sub", "{}"),
            ("aud", r#"["a",1]"#),
            ("jti", "false"),
            ("client_id", "1.5"),
            ("azp", "[]"),
            ("cnf", r#""a""#),
        ] {
            let payload = format!(r#"{{"{name}":{value}}}"#);
            let fault = read(&payload, &[]).err().unwrap();
            let is_named = matches!(&fault, Fault::Unreadable(Some(claim), _) if **claim == *name);
            assert!(is_named, "{name}: {fault:?}");
        }
    }

    #[test]
    fn values_with_escapes_and_numbers_are_read() {
        let payload = r#"{"exp":1.5e3,"sub":"a\"b","aud":["a","\u0062"],"jti":-7,"iss":null}"#;
        let claims = read(payload, &[]).unwrap();
        assert_eq!(claims.exp, Some(1500.0));
        assert_eq!(claims.sub.as_deref(), Some("a\"b"));
        assert_eq!(claims.aud[..], ["a", "b"]);
        assert_eq!(claims.jti.as_deref(), Some("-7"));
        assert_eq!(claims.iss, None);
    }
}
