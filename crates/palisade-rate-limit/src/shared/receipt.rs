use std::sync::Arc;

use super::{
    cache::Lease,
    client::{StoreClient, StoreRequest, refund_of},
};
use crate::{Demand, Refund};

/// A charge in the store, which can be changed later.
pub(crate) struct Receipt {
    client: Arc<StoreClient>,
    /// The key's hash in the local cache.
    cached_as: u64,
    refund: Refund,
    /// The permits were spent from a lease of this machine.
    of_lease: bool,
}

impl Receipt {
    /// Returns a part of the charge.
    pub(crate) fn give_back(&self, amount: u32) {
        let Self { client, refund, .. } = self;
        let spent = Lease { permits: amount, moment: refund.moment };
        let restored = self.of_lease
            && client.cache.restore(self.cached_as, client.now(), spent, client.lease);
        if !restored {
            client.refund(Refund { amount, ..refund.clone() });
        }
    }

    /// Charges more in the background, as far as there is room.
    pub(crate) fn charge_more(&self, amount: u32) {
        let (limit, quotas) = (Arc::clone(&self.refund.limit), Arc::clone(&self.refund.quotas));
        let key = self.refund.key;
        let demand = Demand { limit, key, quotas, cost: 1, most: amount, ban: None };
        self.client.charge_in_background(demand);
    }
}

impl StoreClient {
    /// Returns the receipt of a charge that the store made at `moment`.
    pub(crate) fn receipt(
        self: &Arc<Self>,
        request: &StoreRequest,
        moment: u64,
        of_lease: bool,
    ) -> Receipt {
        Receipt {
            client: Arc::clone(self),
            cached_as: request.cached_as,
            refund: Refund { moment, ..refund_of(&self.demand(request)) },
            of_lease,
        }
    }
}
