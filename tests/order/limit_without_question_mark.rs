use std::time::Duration;

use palisade::rate_limit::{Quota, RateLimit};

pub fn case() {
    let limit = RateLimit::per_address(Quota::per(1, Duration::from_secs(1))).build();
    let _ = palisade::stack().rate_limit(&limit);
}
