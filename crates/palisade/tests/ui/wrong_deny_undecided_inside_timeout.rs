mod setup;

fn main() {
    let parts = setup::parts();
    let _ = setup::stack().timeout(parts.timeout).deny_undecided();
}
