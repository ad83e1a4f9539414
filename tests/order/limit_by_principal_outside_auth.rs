use crate::setup;

pub fn case() {
    let parts = setup::parts();
    let _ = setup::stack().rate_limit(&parts.by_principal).auth(&parts.auth);
}
