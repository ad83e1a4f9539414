mod setup;

fn main() {
    let parts = setup::parts();
    let _ = setup::stack().rate_limit(&parts.by_address).client_ip(&parts.proxies);
}
