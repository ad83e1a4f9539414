use crate::setup;

pub fn case() {
    let parts = setup::parts();
    let _ = setup::stack().body_limit(parts.body_limit).timeout(parts.timeout);
}
