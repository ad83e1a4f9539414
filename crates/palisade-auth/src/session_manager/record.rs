use std::time::Duration;

use palisade_core::{BoxError, Principal};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::Identity;

/// More than claims should have: a session is read with each request.
const MAX_BYTES: usize = 16 * 1024;

/// A session as a storage keeps it.
#[derive(Serialize, Deserialize)]
struct Record<C> {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    issuer: String,
    subject: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    foreign: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    scopes: Vec<String>,
    /// Each with the roles that count in it alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tenants: Vec<(String, Vec<String>)>,
    /// Milliseconds since the Unix epoch.
    ends: u64,
    claims: C,
}

/// A session that was found.
pub(super) struct FoundSession<C> {
    pub(super) identity: Identity<C>,
    /// Since the Unix epoch.
    pub(super) ends: Duration,
}

/// Writes a session that ends at this time since the Unix epoch.
pub(super) fn write<C: Serialize>(
    principal: &Principal,
    claims: &C,
    ends: Duration,
) -> Result<String, BoxError> {
    let texts = |texts: &mut dyn Iterator<Item = &str>| texts.map(str::to_owned).collect();
    // The roles in the tenant that the caller acts in just now must not become roles everywhere.
    let tenants: Vec<String> = principal.tenants().map(str::to_owned).collect();
    let everywhere = principal.clone().with_tenants(tenants.iter().cloned());
    let in_tenant = |name: String| {
        let tenant = principal.in_tenant(&name);
        let own = |role: &&str| !everywhere.has_role(role);
        let roles = tenant.map(|tenant| texts(&mut tenant.roles().filter(own)));
        (name, roles.unwrap_or_default())
    };
    let record = Record {
        issuer: principal.issuer().to_owned(),
        subject: principal.subject().to_owned(),
        foreign: principal.is_foreign(),
        roles: texts(&mut everywhere.roles()),
        scopes: texts(&mut principal.scopes()),
        tenants: tenants.into_iter().map(in_tenant).collect(),
        ends: u64::try_from(ends.as_millis())?,
        claims,
    };
    let data = serde_json::to_string(&record)?;
    if data.len() > MAX_BYTES {
        return Err(format!(
            "a session has {} bytes and may have {MAX_BYTES}: store what is large elsewhere, by the caller's name",
            data.len()
        )
        .into());
    }
    Ok(data)
}

pub(super) fn read<C: DeserializeOwned>(data: &str) -> Result<FoundSession<C>, BoxError> {
    let Record { issuer, subject, foreign, roles, scopes, tenants, ends, claims } =
        serde_json::from_str::<Record<C>>(data)?;
    let tenants = tenants.iter().map(|(name, roles)| (name.as_str(), roles));
    let roles = roles.iter().map(String::as_str);
    let scopes = scopes.iter().map(String::as_str);
    let principal = Principal::from_names(&issuer, &subject, roles, scopes, tenants);
    let principal = if foreign { principal.as_foreign() } else { principal };
    Ok(FoundSession {
        identity: Identity::new(claims, principal),
        ends: Duration::from_millis(ends),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principal_survives_storage() {
        let ada = Principal::new("ada")
            .issued_by("https://issuer.example")
            .with_roles(["member"])
            .with_scopes(["read", "write"])
            .with_tenant_roles("acme", ["admin"])
            .with_tenant_roles("globex", Vec::<String>::new())
            .as_foreign();
        for stored in [ada.clone(), ada.in_tenant("acme").unwrap()] {
            let data = write(&stored, &7, Duration::from_millis(5)).unwrap();
            let found = read::<u32>(&data).unwrap();
            assert_eq!(found.identity.principal(), &ada, "{data}");
            assert!(found.identity.principal().is_foreign());
            assert_eq!((*found.identity.claims(), found.ends), (7, Duration::from_millis(5)));
        }
        assert!(read::<u32>("{\"subject\":\"ada\",\"ends\":1}").is_err());
    }

    #[test]
    fn claims_that_are_too_large_are_an_error() {
        let claims = "a".repeat(MAX_BYTES);
        let error = write(&Principal::new("ada"), &claims, Duration::ZERO).unwrap_err();
        assert!(error.to_string().contains("store what is large elsewhere"), "{error}");
    }
}
