use std::{borrow::Cow, collections::BTreeMap};

use serde_json::{Map, Value};

use super::{
    members,
    registered::{List, Registered},
};

/// Where a value is in the claims: the names of members, from the outside in. Names are whole: they may contain dots and
/// slashes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClaimPath {
    /// The position of the outermost member in [`Registered::members`].
    member: usize,
    within: Vec<String>,
}

impl ClaimPath {
    /// Adds the outermost member of a path to those that are read from a token. The path is not empty.
    pub(super) fn new(mut path: Vec<String>, members: &mut Vec<String>) -> Self {
        let within = path.split_off(1);
        let member = members.iter().position(|other| *other == path[0]).unwrap_or_else(|| {
            members.append(&mut path);
            members.len() - 1
        });
        Self { member, within }
    }

    fn outermost<'a>(&self, claims: &Registered<'a>) -> Option<members::Value<'a>> {
        claims.members.get(self.member).copied().flatten()
    }

    fn value(&self, claims: &Registered<'_>) -> Option<Value> {
        let mut value = match self.outermost(claims)? {
            members::Value::Text(text) => Value::from(text),
            members::Value::Json(json) => serde_json::from_str(json).ok()?,
        };
        for name in &self.within {
            value = value.as_object_mut()?.remove(name)?;
        }
        Some(value)
    }

    /// Returns the string at this path, or the digits of an integer.
    pub(super) fn id<'a>(&self, claims: &Registered<'a>) -> Option<Cow<'a, str>> {
        match self.value(claims)? {
            Value::String(text) if !text.is_empty() => Some(text.into()),
            Value::Number(number) if number.is_i64() || number.is_u64() => {
                Some(number.to_string().into())
            }
            _ => None,
        }
    }

    /// Adds the string or the strings at this path. Values of another type count for nothing.
    pub(super) fn add_texts<'a>(&self, claims: &Registered<'a>, list: &mut List<'a>) {
        let Some(outermost) = self.outermost(claims) else { return };
        let before = list.len();
        if self.within.is_empty() {
            let mut add = |text: &'a str| {
                if !text.is_empty() {
                    list.push(Cow::Borrowed(text));
                }
            };
            if outermost.texts(&mut add).is_some() {
                return;
            }
            list.truncate(before);
        }
        let texts = self.value(claims).map(texts_in).unwrap_or_default();
        list.extend(texts.into_iter().map(Cow::Owned));
    }

    /// Returns the roles by tenant at this path: `{"acme": ["editor"]}`.
    pub(super) fn roles_by_tenant(&self, claims: &Registered<'_>, into: &mut RolesByTenant) {
        for (tenant, roles) in
            self.object(claims).into_iter().filter(|(tenant, _)| !tenant.is_empty())
        {
            into.entry(tenant).or_default().extend(texts_in(roles));
        }
    }

    /// Returns the tenants by role at this path: `{"editor": ["acme"]}` or `{"editor": {"acme": …}}`.
    pub(super) fn tenants_by_role(&self, claims: &Registered<'_>, into: &mut RolesByTenant) {
        for (role, tenants) in self.object(claims).into_iter().filter(|(role, _)| !role.is_empty())
        {
            let tenants = match tenants {
                Value::Object(tenants) => tenants.into_iter().map(|(name, _)| name).collect(),
                other => texts_in(other),
            };
            for tenant in tenants {
                into.entry(tenant).or_default().push(role.clone());
            }
        }
    }

    fn object(&self, claims: &Registered<'_>) -> Map<String, Value> {
        match self.value(claims) {
            Some(Value::Object(object)) => object,
            _ => Map::new(),
        }
    }
}

/// The roles that a caller has in each tenant.
pub(super) type RolesByTenant = BTreeMap<String, Vec<String>>;

fn texts_in(value: Value) -> Vec<String> {
    let text = |value| match value {
        Value::String(text) if !text.is_empty() => Some(text),
        _ => None,
    };
    match value {
        Value::Array(values) => values.into_iter().filter_map(text).collect(),
        value => text(value).into_iter().collect(),
    }
}
