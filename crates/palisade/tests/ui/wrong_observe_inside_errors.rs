mod setup;

fn main() {
    let parts = setup::parts();
    let _ = setup::stack().errors(parts.errors).observe(parts.request_ids);
}
