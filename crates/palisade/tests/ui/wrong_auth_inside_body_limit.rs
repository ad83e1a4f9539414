mod setup;

fn main() {
    let parts = setup::parts();
    let _ = setup::stack().body_limit(parts.body_limit).auth(&parts.auth);
}
