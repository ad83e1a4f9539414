mod setup;

fn main() {
    let parts = setup::parts();
    let _ = setup::stack().cors(&parts.cors).security_headers(&parts.security);
}
