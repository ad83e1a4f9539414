use crate::setup;

pub fn case() {
    let parts = setup::parts();
    let _ = setup::stack().idempotency(&parts.idempotency).validate(parts.validate);
}
