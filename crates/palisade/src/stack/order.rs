//! The positions of a stack, as types without values, and the steps that may follow each, for the compiler's messages.

use std::borrow::Borrow;

macro_rules! positions {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub enum $name {}
    )*};
}

positions! {
    /// Nothing is there yet.
    Start;
    /// After `client_ip`.
    ClientKnown;
    /// After `observe`.
    Observed;
    /// After `errors`.
    ErrorsHandled;
    /// After `cors`.
    CrossOrigin;
    /// After a `rate_limit` by address.
    LimitedByAddress;
    /// After `auth`.
    Authenticated;
    /// After `role`.
    RoleChecked;
    /// After a `rate_limit` by principal.
    LimitedByPrincipal;
    /// After `cache`.
    Cached;
    /// After `timeout`.
    TimeLimited;
    /// After `body_limit`.
    SizeLimited;
    /// After `webhook`.
    WebhookVerified;
    /// After `validate`.
    Validated;
    /// After `idempotency`.
    Idempotent;
}

/// A policy or layer `T` that is ready, or a reference to one. A builder is not.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `{T}`, or a reference to one",
    label = "expected a finished `{T}`",
    note = "a builder makes it with `.build()?`, which checks the settings"
)]
pub trait Finished<T>: Borrow<T> {}

#[diagnostic::do_not_recommend]
impl<T, B: Borrow<T>> Finished<T> for B {}

macro_rules! steps {
    ($($(#[$doc:meta])* $step:ident after $($position:ident)*: $message:literal, $note:literal;)*) => {$(
        $(#[$doc])*
        #[diagnostic::on_unimplemented(message = $message, label = "this step does not belong here", note = $note)]
        pub trait $step {}
        $(
            #[diagnostic::do_not_recommend]
            impl $step for $position {}
        )*
    )*};
}

steps! {
    /// `client_ip` may follow.
    BeforeClientIp after Start:
    "`client_ip` must come first in a stack, not after `{Self}`",
    "a step outside of `client_ip` would log and count the nearest proxy instead of the client";

    /// `observe` may follow.
    BeforeObserve after Start ClientKnown:
    "`observe` must come first in a stack, not after `{Self}`",
    "only the outermost step sees every response: a rejection outside of `observe` would have no request id; `client_ip` never rejects, so it goes outside";

    /// `errors` may follow.
    BeforeErrors after Start ClientKnown Observed:
    "`errors` must come before everything that can fail, not after `{Self}`",
    "a failure outside of `errors` would reach the client in another format; only `client_ip` and `observe` go outside of it";

    /// `security_headers` may follow. They do not change the position, because they never respond.
    BeforeSecurityHeaders after Start ClientKnown Observed ErrorsHandled:
    "`security_headers` must come before every step that responds, not after `{Self}`",
    "a preflight, a 401 or a 429 from a step outside of `security_headers` would not have them";

    /// `cors` may follow.
    BeforeCors after Start ClientKnown Observed ErrorsHandled:
    "`cors` must come before limits, authentication and bodies, not after `{Self}`",
    "a preflight has no credentials: inside `auth` it would get 401, and a page could not read a 401, 413 or 429 from a step outside of `cors`";

    /// `auth` may follow.
    BeforeAuth after Start ClientKnown Observed ErrorsHandled CrossOrigin LimitedByAddress:
    "`auth` must come once, before everything that needs an identity or the body, not after `{Self}`",
    "a step outside of `auth` runs for unauthenticated requests: `role` would have no caller to check, and bodies of any client would be read";

    /// `role` may follow.
    BeforeRole after Authenticated RoleChecked:
    "`role` must come directly after `auth`, not after `{Self}`",
    "without an identity there are no roles to check: call `.auth(&auth)` first";

    /// `deny_undecided` may follow.
    BeforeDenyUndecided after ErrorsHandled CrossOrigin LimitedByAddress Authenticated RoleChecked LimitedByPrincipal:
    "`deny_undecided` must come after `errors` and before `timeout` and bodies, not after `{Self}`",
    "its rejections have the format of `errors`, and it decides before a body is read";

    /// `cache` may follow.
    BeforeCache after Start ClientKnown Observed ErrorsHandled CrossOrigin LimitedByAddress Authenticated RoleChecked LimitedByPrincipal:
    "`cache` must come once, after authentication and limits and before `timeout`, not after `{Self}`",
    "a stored response is served without the steps inside: they would not check who reads it, and `timeout` limits its renewals";

    /// `timeout` may follow.
    BeforeTimeout after Start ClientKnown Observed ErrorsHandled CrossOrigin LimitedByAddress Authenticated RoleChecked LimitedByPrincipal Cached:
    "`timeout` must come after the policies and before `body_limit`, not after `{Self}`",
    "the time that a client takes to send its body counts: `timeout` goes outside of the steps that read it";

    /// `body_limit` may follow.
    BeforeBodyLimit after Start ClientKnown Observed ErrorsHandled CrossOrigin LimitedByAddress Authenticated RoleChecked LimitedByPrincipal Cached TimeLimited:
    "`body_limit` must come before everything that reads the body, not after `{Self}`",
    "`validate` reads the whole body: a limit inside of it would count bytes that are in memory already";

    /// `webhook` may follow.
    BeforeWebhook after Start ClientKnown Observed ErrorsHandled CrossOrigin LimitedByAddress Authenticated RoleChecked LimitedByPrincipal Cached TimeLimited SizeLimited:
    "`webhook` must come once, after `body_limit` and before `validate`, not after `{Self}`",
    "the signature is verified before the body is parsed; an endpoint has one sender";

    /// `validate` may follow.
    BeforeValidate after Start ClientKnown Observed ErrorsHandled CrossOrigin LimitedByAddress Authenticated RoleChecked LimitedByPrincipal Cached TimeLimited SizeLimited WebhookVerified:
    "`validate` must come once, after all steps except `idempotency`, not after `{Self}`",
    "a stack validates one type; rules of a single route go on that route";

    /// `idempotency` may follow.
    BeforeIdempotency after Start ClientKnown Observed ErrorsHandled CrossOrigin LimitedByAddress Authenticated RoleChecked LimitedByPrincipal Cached TimeLimited SizeLimited WebhookVerified Validated:
    "`idempotency` must come last and once, not after `{Self}`",
    "a key belongs to an authenticated caller, and a request that is rejected by a limit or by validation must not use it up";
}

/// A `rate_limit` that counts by this may follow `At`.
#[cfg(feature = "rate-limit")]
#[diagnostic::on_unimplemented(
    message = "a `rate_limit` that counts `{Self}` cannot come after `{At}`",
    label = "this limit does not belong here",
    note = "a limit by address goes before `auth`: inside of it, guesses at tokens would not be limited",
    note = "a limit by principal goes after `auth` and before the body: outside of it there is no caller to count"
)]
pub trait LimitAfter<At> {
    /// The position after the limit.
    type Next;
}

#[cfg(feature = "rate-limit")]
mod limits {
    use palisade_rate_limit::{By, ByAddress, ByHeader, ByMethod, ByPath, ByPrincipal};

    use super::*;

    macro_rules! limits {
        ($by:ty, to $next:ident after $($position:ident)*) => {$(
            #[diagnostic::do_not_recommend]
            impl LimitAfter<$position> for $by {
                type Next = $next;
            }
        )*};
    }

    limits!(ByAddress, to LimitedByAddress after Start ClientKnown Observed ErrorsHandled CrossOrigin LimitedByAddress);
    limits!(ByPrincipal, to LimitedByPrincipal after Authenticated RoleChecked LimitedByPrincipal);

    /// The author of the stack knows the key of these limits, so they may have any position of a limit.
    macro_rules! anywhere {
        ($($position:ident to $next:ident)*) => {$(
            limits!(ByHeader, to $next after $position);
            limits!(ByMethod, to $next after $position);
            limits!(ByPath, to $next after $position);

            #[diagnostic::do_not_recommend]
            impl<F> LimitAfter<$position> for By<F> {
                type Next = $next;
            }
        )*};
    }

    anywhere!(
        Start to LimitedByAddress
        ClientKnown to LimitedByAddress
        Observed to LimitedByAddress
        ErrorsHandled to LimitedByAddress
        CrossOrigin to LimitedByAddress
        LimitedByAddress to LimitedByAddress
        Authenticated to LimitedByPrincipal
        RoleChecked to LimitedByPrincipal
        LimitedByPrincipal to LimitedByPrincipal
    );

    /// Two keys together go where both may go.
    #[diagnostic::do_not_recommend]
    impl<At, A, B> LimitAfter<At> for (A, B)
    where
        A: LimitAfter<At>,
        B: LimitAfter<At, Next = A::Next>,
    {
        type Next = A::Next;
    }

    /// And three.
    #[diagnostic::do_not_recommend]
    impl<At, A, B, C> LimitAfter<At> for (A, B, C)
    where
        A: LimitAfter<At>,
        B: LimitAfter<At, Next = A::Next>,
        C: LimitAfter<At, Next = A::Next>,
    {
        type Next = A::Next;
    }
}
