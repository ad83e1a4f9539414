use crate::setup;

pub fn case() {
    let parts = setup::parts();
    let _ = setup::stack().cors(&parts.cors).security_headers(&parts.security);
}
