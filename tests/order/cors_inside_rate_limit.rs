use crate::setup;

pub fn case() {
    let parts = setup::parts();
    let _ = setup::stack().rate_limit(&parts.by_address).cors(&parts.cors);
}
