use crate::setup;

pub fn case() {
    let parts = setup::parts();
    let _ = setup::stack().cors(&parts.cors).errors(parts.errors);
}
