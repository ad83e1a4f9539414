use crate::setup;

pub fn case() {
    let parts = setup::parts();
    let _ = setup::stack().validate(parts.validate).validate(parts.validate);
}
