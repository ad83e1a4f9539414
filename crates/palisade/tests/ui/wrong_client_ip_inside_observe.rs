mod setup;

fn main() {
    let parts = setup::parts();
    let _ = setup::stack().observe(parts.request_ids).client_ip(&parts.proxies);
}
