use std::{borrow::Cow, collections::BTreeMap};

use super::{
    members::Value,
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

    fn value<'a>(&self, claims: &Registered<'a>) -> Option<Value<'a>> {
        let mut value = claims.members.get(self.member).copied().flatten()?;
        for name in &self.within {
            let mut found = None;
            value.members(|other, value| {
                if other == **name {
                    found = Some(value);
                }
            })?;
            value = found?;
        }
        Some(value)
    }

    /// Returns the string at this path, or the digits of an integer.
    pub(super) fn id<'a>(&self, claims: &Registered<'a>) -> Option<Cow<'a, str>> {
        match self.value(claims)? {
            Value::Json(json) if is_integer(json) => Some(Cow::Borrowed(json)),
            value => value.text().filter(|text| !text.is_empty()),
        }
    }

    /// Adds the string or the strings at this path. Values of another type count for nothing.
    pub(super) fn add_texts<'a>(&self, claims: &Registered<'a>, list: &mut List<'a>) {
        if let Some(value) = self.value(claims) {
            each_text(value, |text| list.push(text));
        }
    }

    /// Returns the roles by tenant at this path: `{"acme": ["editor"]}`.
    pub(super) fn roles_by_tenant(&self, claims: &Registered<'_>, into: &mut RolesByTenant) {
        self.members(claims, |tenant, roles| {
            let of_tenant = into.entry(tenant.into_owned()).or_default();
            each_text(roles, |role| of_tenant.push(role.into_owned()));
        });
    }

    /// Returns the tenants by role at this path: `{"editor": ["acme"]}` or `{"editor": {"acme": …}}`.
    pub(super) fn tenants_by_role(&self, claims: &Registered<'_>, into: &mut RolesByTenant) {
        self.members(claims, |role, tenants| {
            let mut add = |tenant: Cow<'_, str>| {
                into.entry(tenant.into_owned()).or_default().push(role.as_ref().to_owned());
            };
            if tenants.members(|tenant, _| add(tenant)).is_none() {
                each_text(tenants, add);
            }
        });
    }

    /// Calls `each` with the members of the object at this path. A member without a name counts for nothing.
    fn members<'a>(&self, claims: &Registered<'a>, mut each: impl FnMut(Cow<'a, str>, Value<'a>)) {
        let object = self.value(claims);
        object.and_then(|object| {
            object.members(|name, value| {
                if !name.is_empty() {
                    each(name, value);
                }
            })
        });
    }
}

/// The roles that a caller has in each tenant.
pub(super) type RolesByTenant = BTreeMap<String, Vec<String>>;

/// Calls `each` with a string, or with the strings of a list, that are not empty.
fn each_text<'a>(value: Value<'a>, mut each: impl FnMut(Cow<'a, str>)) {
    let mut add = |value: Value<'a>| {
        if let Some(text) = value.text().filter(|text| !text.is_empty()) {
            each(text);
        }
    };
    if value.items(&mut add).is_none() {
        add(value);
    }
}

/// Returns true for a number of 64 bits without a fraction or an exponent.
fn is_integer(json: &str) -> bool {
    json != "-0" && (json.parse::<i64>().is_ok() || json.parse::<u64>().is_ok())
}
