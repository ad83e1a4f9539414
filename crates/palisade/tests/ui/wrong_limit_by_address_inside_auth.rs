mod setup;

fn main() {
    let parts = setup::parts();
    let _ = setup::stack().auth(&parts.auth).rate_limit(&parts.by_address);
}
