use crate::setup;

pub fn case() {
    let parts = setup::parts();
    let _ = setup::stack().observe(parts.request_ids).client_ip(&parts.proxies);
}
