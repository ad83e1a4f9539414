use crate::setup;

pub fn case() {
    let parts = setup::parts();
    let _ = setup::stack().validate(parts.validate).webhook(&parts.webhook);
}
