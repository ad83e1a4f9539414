mod setup;

fn main() {
    let parts = setup::parts();
    let _ = setup::stack().cors(&parts.cors).errors(parts.errors);
}
