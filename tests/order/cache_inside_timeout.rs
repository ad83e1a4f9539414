use crate::setup;

pub fn case() {
    let parts = setup::parts();
    let _ = setup::stack().timeout(parts.timeout).cache(&parts.cache);
}
