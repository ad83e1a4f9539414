use crate::setup;

pub fn case() {
    let parts = setup::parts();
    let _ = setup::stack().errors(parts.errors).observe(parts.request_ids);
}
