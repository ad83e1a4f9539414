mod setup;

use palisade::auth::rules::{Rule, role, scope};

fn main() {
    let parts = setup::parts();
    let _ = setup::stack()
        .observe(parts.request_ids)
        .errors(parts.errors)
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
        .validate(parts.validate);
}
