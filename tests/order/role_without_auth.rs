use crate::setup;

pub fn case() {
    let parts = setup::parts();
    let _ = setup::stack().role(["admin"]);
}
