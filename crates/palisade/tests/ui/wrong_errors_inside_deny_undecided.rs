mod setup;

fn main() {
    let parts = setup::parts();
    let _ = setup::stack().deny_undecided().errors(parts.errors);
}
