mod setup;

fn main() {
    let parts = setup::parts();
    let _ = setup::stack().validate(parts.validate).webhook(&parts.webhook);
}
