mod setup;

fn main() {
    let parts = setup::parts();
    let _ = setup::stack().auth(&parts.auth).cors(&parts.cors);
}
