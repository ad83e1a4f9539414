use crate::setup;

pub fn case() {
    let parts = setup::parts();
    let _ = setup::stack().auth(&parts.auth).auth(&parts.auth);
}
