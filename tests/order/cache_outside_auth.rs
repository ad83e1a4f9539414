use crate::setup;

pub fn case() {
    let parts = setup::parts();
    let _ = setup::stack().cache(&parts.cache).auth(&parts.auth);
}
