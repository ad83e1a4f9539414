//! Roles within a tenant: what a tenant rule and a role rule mean together, in every combination.

use std::sync::Arc;

use http::{Request, StatusCode, request};
use palisade_auth::{
    Identity, RequireRole,
    rules::{Rule, deny, role, tenant, tenant_from_path},
};
use palisade_core::{Decision, Halt, Policy, Principal};

/// An editor of acme and a viewer of globex, who is suspended at globex.
fn ada() -> Principal {
    Principal::new("ada")
        .with_tenant_roles("acme", ["editor"])
        .with_tenant_roles("globex", ["viewer", "suspended"])
}

fn status(policy: &impl Policy, path: &str, caller: Principal) -> StatusCode {
    let mut request = Request::get(path).body(()).unwrap();
    request.extensions_mut().insert(caller);
    let (mut head, ()) = request.into_parts();
    match policy.decide(&head) {
        Decision::Now(Ok(mut grant)) => {
            policy.admit(&mut grant, &mut head);
            StatusCode::OK
        }
        Decision::Now(Err(Halt::Refuse(error))) => error.status(),
        _ => panic!("a rule decides at once"),
    }
}

fn allows(rule: impl Rule<About = request::Parts>, org: &str) -> bool {
    status(&rule.authorize(), &format!("/orgs/{org}"), ada()) == StatusCode::OK
}

fn in_org() -> impl Rule<About = request::Parts> + Clone {
    tenant_from_path("/orgs/{org}", "org").unwrap()
}

#[test]
fn role_rule_after_a_tenant_rule_applies_in_that_tenant() {
    assert!(allows(in_org().and(role("editor")), "acme"));
    assert!(!allows(in_org().and(role("editor")), "globex"));
    assert!(!allows(in_org().and(role("editor")), "other"));
    assert!(allows(in_org().and(role("editor").or(role("viewer"))), "globex"));
    assert!(!allows(in_org().and(role("editor").and(role("viewer"))), "acme"));
}

#[test]
fn role_without_a_tenant_applies_everywhere() {
    assert!(!allows(role("editor"), "acme"));
    // the alternative is not about the tenant
    assert!(!allows(in_org().and(role("viewer")).or(role("editor")), "acme"));
    let global = ada().with_roles(["editor"]);
    let rule = in_org().and(role("editor")).authorize();
    assert_eq!(status(&rule, "/orgs/globex", global.clone()), StatusCode::OK);
    assert_eq!(status(&rule, "/orgs/other", global), StatusCode::FORBIDDEN);
}

#[test]
fn the_order_within_an_and_does_not_matter() {
    assert!(allows(role("editor").and(in_org()), "acme"));
    assert!(!allows(role("editor").and(in_org()), "globex"));
    // a `not` before the tenant must not be answered for the caller outside of it
    assert!(!allows(role("suspended").not().and(in_org()), "globex"));
    assert!(allows(role("suspended").not().and(in_org()), "acme"));
}

#[test]
fn denied_role_applies_in_the_tenant() {
    for org in ["acme", "globex"] {
        let is_acme = org == "acme";
        assert_eq!(allows(in_org().and(deny(role("suspended"))), org), is_acme);
        assert_eq!(allows(deny(role("suspended")).and(in_org()), org), is_acme);
        assert_eq!(allows(in_org().or(deny(role("suspended"))), org), is_acme);
        let nested = in_org().and(role("editor").or(role("viewer"))).or(role("admin"));
        assert_eq!(allows(nested.and(deny(role("suspended"))), org), is_acme);
    }
}

#[test]
fn wrapped_rules_keep_their_tenant() {
    for org in ["acme", "globex"] {
        let is_acme = org == "acme";
        assert_eq!(allows(in_org().hide_as_not_found().and(role("editor")), org), is_acme);
        assert_eq!(allows(Arc::new(in_org()).and(role("editor")), org), is_acme);
        let shared: Arc<dyn Rule<About = request::Parts>> = Arc::new(in_org());
        assert_eq!(allows(shared.and(role("editor")), org), is_acme);
        let either = tenant_from_path("/teams/{org}", "org").unwrap().or(in_org());
        assert_eq!(allows(either.and(role("editor")), org), is_acme);
    }
}

#[test]
fn last_tenant_in_the_path_selects_the_roles() {
    let path = "/orgs/{org}/projects/{project}";
    let rule = tenant_from_path(path, "org")
        .unwrap()
        .and(tenant_from_path(path, "project").unwrap())
        .and(role("editor"))
        .authorize();
    assert_eq!(status(&rule, "/orgs/globex/projects/acme", ada()), StatusCode::OK);
    assert_eq!(status(&rule, "/orgs/acme/projects/globex", ada()), StatusCode::FORBIDDEN);
}

#[test]
fn later_policies_see_the_roles_in_the_tenant() {
    let mut request = Request::get("/orgs/acme").body(()).unwrap();
    request.extensions_mut().insert(ada());
    let (mut head, ()) = request.into_parts();
    let first = in_org().authorize();
    assert!(matches!(first.decide(&head), Decision::Now(Ok(()))));
    first.admit(&mut (), &mut head);
    assert_eq!(head.extensions.get::<Principal>().unwrap().tenant(), Some("acme"));
    assert!(matches!(RequireRole::any(["editor"]).decide(&head), Decision::Now(Ok(()))));
    assert!(matches!(RequireRole::any(["viewer"]).decide(&head), Decision::Now(Err(_))));

    // a rule about another tenant further in replaces it
    head.uri = "/orgs/globex".parse().unwrap();
    let rule = in_org().and(role("viewer")).authorize();
    assert!(matches!(rule.decide(&head), Decision::Now(Ok(()))));
    let rule = in_org().and(role("editor")).authorize();
    assert!(matches!(rule.decide(&head), Decision::Now(Err(_))));
}

#[test]
fn a_loaded_resource_selects_its_tenant() {
    struct Report(&'static str);
    let rule = tenant(|report: &Report| report.0).and(role("editor"));
    let ada = Identity::new((), ada().with_tenants(["acme", "globex", ""]));
    assert!(ada.may(&rule, &Report("acme")));
    for org in ["globex", "other", ""] {
        assert!(!ada.may(&rule, &Report(org)), "{org}");
    }
    assert!(!ada.may(&tenant(|report: &Report| report.0), &Report("")));
}
