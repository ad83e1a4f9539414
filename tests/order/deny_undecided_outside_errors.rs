use crate::setup;

pub fn case() {
    let _ = setup::stack().deny_undecided();
}
