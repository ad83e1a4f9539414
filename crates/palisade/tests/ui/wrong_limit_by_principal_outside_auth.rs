mod setup;

fn main() {
    let parts = setup::parts();
    let _ = setup::stack().rate_limit(&parts.by_principal).auth(&parts.auth);
}
