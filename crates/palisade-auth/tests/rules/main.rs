//! Rules: the table of each combinator, and what each rule says to whom.

mod truth_tables;

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use http::{Request, StatusCode, header, request};
use palisade_auth::{
    Identity, RequireRole,
    rules::{
        Authorize, Denial, Predicate, Rule, Verdict, all_roles, any_role, check, check_resource,
        deny, owner, role, scope, tenant_from_path,
    },
};
use palisade_core::{
    ApiError, Decision, Halt, Policy, Principal,
    testing::{Contract, Log, Script},
};
use tracing::Level;

/// Says what it was told to: `A`llow, `D`eny, `N`othing, or `U`nknown. Counts how often it is asked.
#[derive(Clone)]
struct Says(char, Arc<AtomicUsize>);

fn says(what: char) -> Says {
    Says(what, Arc::default())
}

impl Says {
    fn asked(&self) -> usize {
        self.1.load(Ordering::SeqCst)
    }
}

impl Rule for Says {
    type About = ();

    fn decide(&self, _: &Principal, (): &()) -> Verdict {
        self.1.fetch_add(1, Ordering::SeqCst);
        match self.0 {
            'A' => Verdict::Allow,
            'D' => Verdict::deny("told so"),
            'N' => Verdict::Abstain,
            _ => Verdict::could_not_tell("the store is down"),
        }
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "says {}", self.0)
    }
}

impl Predicate for Says {}

fn ada() -> Principal {
    Principal::new("ada").issued_by("https://issuer.example")
}

/// The status that a rule comes to in the end.
fn status(rule: &(impl Rule<About = ()> + ?Sized)) -> u16 {
    let identity = Identity::new((), ada());
    identity.require(rule, &()).map_or_else(|error| error.status().as_u16(), |()| 200)
}

fn head(path: &str, caller: Option<Principal>) -> request::Parts {
    let mut request = Request::get(path).body(()).unwrap();
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
    }
    request.into_parts().0
}

fn refusal<P: Policy<Grant = ()>>(policy: &P, request: &request::Parts) -> Option<ApiError> {
    match policy.decide(request) {
        Decision::Now(Ok(())) => None,
        Decision::Now(Err(Halt::Refuse(error))) => Some(error),
        other => panic!("{other:?}"),
    }
}

fn outcome(rule: impl Rule<About = request::Parts>, path: &str, caller: Principal) -> u16 {
    let refusal = refusal(&rule.authorize(), &head(path, Some(caller)));
    refusal.map_or(200, |error| error.status().as_u16())
}

#[test]
fn anonymous_request_gets_a_challenge_for_any_rule() {
    let rules: [Arc<dyn Rule<About = request::Parts>>; 6] = [
        Arc::new(role("admin")),
        Arc::new(role("admin").not()),
        Arc::new(deny(role("admin").not())),
        Arc::new(check("everybody", |_, _| true)),
        Arc::new(check("could not tell", |_, _| Verdict::could_not_tell("down")).or(role("x"))),
        Arc::new(role("admin").hide_as_not_found()),
    ];
    for rule in rules {
        let error = refusal(&Authorize::new(rule), &head("/", None)).unwrap();
        assert_eq!(error.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(error.headers()[header::WWW_AUTHENTICATE], "Bearer");
    }
}

#[test]
fn names_match_exactly_and_empty_lists_allow_no_caller() {
    let caller = || ada().with_roles(["editor", "auditor"]).with_scopes(["orders:read", "a"]);
    let none: [&str; 0] = [];
    #[rustfmt::skip]
    let table: [(Arc<dyn Rule<About = request::Parts>>, u16); 16] = [
        (Arc::new(role("editor")), 200),
        (Arc::new(role("Editor")), 403),
        (Arc::new(role("editor ")), 403),
        (Arc::new(role("")), 403),
        (Arc::new(any_role(["admin", "auditor"])), 200),
        (Arc::new(any_role(["admin", "root"])), 403),
        (Arc::new(any_role(none)), 403),
        (Arc::new(all_roles(["auditor", "editor"])), 200),
        (Arc::new(all_roles(["auditor", "admin"])), 403),
        (Arc::new(all_roles(none)), 403),
        (Arc::new(scope("orders:read")), 200),
        (Arc::new(scope("orders:write")), 403),
        (Arc::new(scope("orders")), 403),
        (Arc::new(scope("a orders:read")), 200),
        (Arc::new(scope("a orders:write")), 403),
        (Arc::new(scope("")), 403),
    ];
    for (rule, expected) in table {
        let name = format!("{:?}", Authorize::new(Arc::clone(&rule)));
        assert_eq!(outcome(rule, "/", caller()), expected, "{name}");
    }
}

#[test]
fn tenant_in_the_path_must_be_one_of_the_caller() {
    let rule = || tenant_from_path("/orgs/{org_id}/items/{id}", "org_id").unwrap();
    let caller = || ada().with_tenants(["acme", "café", "a.b"]).with_roles(["editor"]);
    #[rustfmt::skip]
    let table = [
        ("/orgs/acme/items/7", 200), ("/orgs/acme/items/7?org_id=globex", 200), ("/orgs/caf%C3%A9/items/7", 200),
        ("/orgs/%61cme/items/7", 200), ("/orgs/a.b/items/7", 200),
        ("/orgs/globex/items/7", 403), ("/orgs/globex/items/7?org_id=acme", 403), ("/orgs/Acme/items/7", 403),
        ("/orgs/acme%20/items/7", 403), ("/orgs/acme;v=1/items/7", 403), ("/orgs/acme,globex/items/7", 403),
        ("/orgs/globex/../acme/items/7", 403), ("/orgs/acme/items/..", 403), ("/orgs/acme/items/%2e%2e", 403),
        ("/orgs/acme/items/7/", 403), ("/orgs/acme/items", 403), ("/ORGS/acme/items/7", 403),
        ("/orgs//acme/items/7", 403), ("/orgs/acme/items/7%2F", 403), ("/orgs/acme/items/7%5c", 403),
    ];
    for (path, expected) in table {
        assert_eq!(outcome(rule(), path, caller()), expected, "{path}");
        // the tenant comes before the role, and neither replaces the other
        assert_eq!(outcome(rule().and(role("editor")), path, caller()), expected, "{path}");
        assert_eq!(outcome(rule().and(role("admin")), path, caller()), 403, "{path}");
    }
    assert_eq!(outcome(rule(), "/orgs/acme/items/7", ada()), 403);
    assert!(tenant_from_path("/orgs/{org}/items", "org_id").is_err());
}

#[test]
fn alternative_spellings_of_a_path_are_rejected() {
    // Hono matched one spelling and decoded another (CVE-2026-47676).
    let rule = || tenant_from_path("/admin/{org}", "org").unwrap();
    for path in [
        "/%61dmin/acme",
        "//admin/acme",
        "/admin%2Facme",
        "/admin//acme",
        "/admin/acme%2F",
        "/admin/./acme",
        "/x/../admin/acme",
        "/admin;x/acme",
        "/Admin/acme",
        "/admin/acme/",
        "/admin/%2561cme",
        "/admin%2F",
        "/%61dmin",
        "//admin",
    ] {
        assert_eq!(outcome(rule(), path, ada().with_tenants(["acme"])), 403, "{path}");
    }
}

#[test]
fn check_allows_denies_or_fails() {
    type Told = Result<bool, io::Error>;
    let down = || -> Told { Err(io::Error::other("the store is down")) };
    assert_eq!(outcome(check("yes", |_, _| true), "/", ada()), 200);
    assert_eq!(outcome(check("no", |_, _| false), "/", ada()), 403);
    assert_eq!(outcome(check("told", |_, _| -> Told { Ok(true) }), "/", ada()), 200);
    assert_eq!(outcome(check("down", move |_, _| down()), "/", ada()), 503);
    assert_eq!(outcome(check("down", move |_, _| down()).not(), "/", ada()), 503);
    let allowed = check("yes", |_, _| true);
    assert_eq!(outcome(allowed.and(deny(check("down", move |_, _| down()))), "/", ada()), 403);
    let says_more = |_: &Principal, head: &request::Parts| match head.uri.path() {
        "/open" => Verdict::Allow,
        "/gone" => Verdict::Deny(Denial::new("gone").hidden()),
        _ => Verdict::Abstain,
    };
    for (path, expected) in [("/open", 200), ("/gone", 404), ("/else", 403)] {
        assert_eq!(outcome(check("by path", says_more), path, ada()), expected);
    }
}

struct Order {
    buyer: String,
    frozen: bool,
}

#[test]
fn resource_rules_decide_like_route_rules() {
    let order = |buyer: &str, frozen| Order { buyer: buyer.to_owned(), frozen };
    let own = || owner(|order: &Order| order.buyer.as_str());
    let rule = own()
        .or(role("support"))
        .and(deny(check_resource("frozen", |_, order: &Order| order.frozen)))
        .hide_as_not_found();
    let status = |caller: Principal, order: &Order| {
        let refusal = Identity::new((), caller).require(&rule, order);
        refusal.map_or_else(|error| error.status().as_u16(), |()| 200)
    };
    let support = || Principal::new("grace").with_roles(["support"]);
    assert_eq!(status(ada(), &order("ada", false)), 200);
    assert_eq!(status(ada(), &order("grace", false)), 404);
    assert_eq!(status(ada(), &order("Ada", false)), 404);
    assert_eq!(status(support(), &order("ada", false)), 200);
    assert_eq!(status(support(), &order("ada", true)), 404);
    // A resource without an owner has no owner.
    assert_eq!(status(Principal::new(""), &order("", false)), 404);

    let ada = Identity::new((), ada());
    let mut orders = vec![order("ada", false), order("grace", false), order("ada", true)];
    orders.retain(|order| ada.may(&rule, order));
    assert_eq!(orders.len(), 1);
    assert!(!ada.may(&check_resource("down", |_, (): &()| Verdict::could_not_tell("down")), &()));
}

#[test]
fn the_policies_keep_the_contract() {
    let request = || {
        let mut request = Request::get("/orgs/acme").body(Script::empty()).unwrap();
        request.extensions_mut().insert(ada().with_tenants(["acme"]).with_roles(["editor"]));
        request
    };
    let contract = Contract::new(request);
    contract.check_policy(|| {
        tenant_from_path("/orgs/{id}", "id").unwrap().and(role("editor")).authorize()
    });
    contract.check_policy(|| RequireRole::any(["editor"]));
}

#[test]
fn each_decision_is_logged_without_the_subject() {
    let subject = "ada.lovelace@example.com";
    let caller = |roles: &[&'static str]| Principal::new(subject).with_roles(roles.iter().copied());
    let rule = role("editor").or(scope("x")).and(deny(role("suspended"))).authorize();
    let logged = |act: &dyn Fn()| Log::during(Level::DEBUG, act);
    let decide = |caller: Option<Principal>| {
        logged(&|| drop(rule.decide(&head("/secret-path", caller.clone()))))
    };

    let name = "rule=((role editor or scope x) and deny role suspended)";
    let allowed = decide(Some(caller(&["editor"])));
    assert!(allowed.contains("DEBUG palisade::auth:"), "{allowed}");
    assert!(allowed.contains(name) && allowed.contains("outcome=\"allow\""), "{allowed}");
    let denied = decide(Some(caller(&[])));
    assert!(denied.contains("INFO palisade::auth:") && denied.contains(name), "{denied}");
    assert!(denied.contains("outcome=\"deny\" reason=\"not scope x\""), "{denied}");
    let vetoed = decide(Some(caller(&["editor", "suspended"])));
    assert!(vetoed.contains("reason=\"deny role suspended\""), "{vetoed}");
    let nobody = decide(None);
    assert!(nobody.contains("reason=\"not authenticated\""), "{nobody}");
    let unknown = logged(&|| assert_eq!(status(&says('U')), 503));
    assert!(unknown.contains("WARN") && unknown.contains("reason=the store is down"), "{unknown}");
    let failed = logged(&|| assert_eq!(status(&says('A').and(deny(says('U')))), 403));
    assert!(failed.contains("reason=\"deny says U could not be told\""), "{failed}");
    assert!(failed.contains("cause=the store is down"), "{failed}");

    let pseudonym = |line: &str| line.split("subject=").nth(1).unwrap().trim().to_owned();
    assert_eq!(pseudonym(&allowed), pseudonym(&denied));
    assert_ne!(pseudonym(&allowed), pseudonym(&unknown));
    for line in [&allowed, &denied, &vetoed] {
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(!line.contains(subject), "{line}");
    }
}
