mod setup;

fn main() {
    let _ = setup::stack().deny_undecided();
}
