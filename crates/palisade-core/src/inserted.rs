//! Policies that insert themselves into the extensions of each request, for the policies and handlers inside.

use http::request;

use crate::{Allowed, Connection, Decision, DiscardUnread, PeerAddr, Policy, UnixPeer};

macro_rules! insert_into_requests {
    ($($policy:ty),+) => {
        $(
            impl Policy for $policy {
                type Grant = ();

                fn allowed(_: &Self::Grant) -> Allowed {
                    Allowed::WithoutDecision
                }

                fn decide(&self, _: &request::Parts) -> Decision<()> {
                    Decision::grant(())
                }

                fn admit(&self, (): &mut (), request: &mut request::Parts) {
                    request.extensions.insert(self.clone());
                }
            }
        )+
    };
}

insert_into_requests!(Connection, DiscardUnread, PeerAddr, UnixPeer);
