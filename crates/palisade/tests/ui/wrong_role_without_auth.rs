mod setup;

fn main() {
    let parts = setup::parts();
    let _ = setup::stack().role(["admin"]);
}
