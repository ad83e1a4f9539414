use crate::setup;

pub fn case() {
    let parts = setup::parts();
    let _ = setup::stack().validate(parts.validate).body_limit(parts.body_limit);
}
