mod setup;

fn main() {
    let parts = setup::parts();
    let _ = setup::stack().auth(&parts.auth).auth(&parts.auth);
}
