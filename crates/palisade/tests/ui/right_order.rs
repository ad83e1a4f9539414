mod setup;

use palisade::auth::rules::{Rule, role, scope};

fn main() {
    let parts = setup::parts();
    let _ = setup::stack()
        .client_ip(&parts.proxies)
        .observe(parts.request_ids)
        .errors(parts.errors)
        .security_headers(&parts.security)
        .cors(&parts.cors)
        .rate_limit(&parts.by_address)
        .rate_limit(&parts.by_address)
        .auth(&parts.auth)
        .role(["admin"])
        .role(["staff"])
        .rule(role("staff").and(scope("orders:read")))
        .deny_undecided()
        .rate_limit(&parts.by_principal)
        .timeout(parts.timeout)
        .body_limit(parts.body_limit)
        .webhook(&parts.webhook)
        .validate(parts.validate);

    // every step is optional
    let parts = setup::parts();
    let known = || setup::stack().client_ip(&parts.proxies);
    let _ = known().errors(parts.errors);
    let _ = known().security_headers(&parts.security).cors(&parts.cors);
    let _ = known().cors(&parts.cors);
    let _ = known().rate_limit(&parts.by_address);
    let _ = known().auth(&parts.auth);
    let _ = known().timeout(parts.timeout);
    let _ = known().body_limit(parts.body_limit);
    let _ = known().webhook(&parts.webhook);
    let _ = known().validate(parts.validate);
}
