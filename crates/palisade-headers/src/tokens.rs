use http::HeaderValue;

macro_rules! tokens {
    ($($(#[$doc:meta])* $name:ident { $($(#[$token_doc:meta])* $token:ident = $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $(
                $(#[$token_doc])*
                #[doc = concat!("\n\n`", $text, "`")]
                $token,
            )*
        }

        impl $name {
            pub(crate) fn value(self) -> HeaderValue {
                HeaderValue::from_static(match self {
                    $(Self::$token => $text,)*
                })
            }
        }
    )*};
}

tokens! {
    /// How much of a page's address its requests tell others, in `Referrer-Policy`
    /// ([Referrer Policy, section 3](https://www.w3.org/TR/referrer-policy/#referrer-policies)).
    ///
    /// `unsafe-url` is missing: it tells addresses with all their secrets over plain http.
    ReferrerPolicy {
        /// Nothing.
        NoReferrer = "no-referrer",
        /// All of it to everybody, but nothing from https to http. The weakest one here.
        NoReferrerWhenDowngrade = "no-referrer-when-downgrade",
        /// The origin to everybody.
        Origin = "origin",
        /// All of it to the same origin, the origin to others.
        OriginWhenCrossOrigin = "origin-when-cross-origin",
        /// All of it to the same origin, nothing to others.
        SameOrigin = "same-origin",
        /// The origin to everybody, but nothing from https to http.
        StrictOrigin = "strict-origin",
        /// All of it to the same origin, the origin to others, nothing from https to http. What browsers do unasked.
        StrictOriginWhenCrossOrigin = "strict-origin-when-cross-origin",
    }

    /// Which windows share a browsing context with a page, in `Cross-Origin-Opener-Policy`
    /// ([HTML, cross-origin opener policies](https://html.spec.whatwg.org/multipage/browsers.html#cross-origin-opener-policies)).
    OpenerPolicy {
        /// Those of the same origin that say the same.
        SameOrigin = "same-origin",
        /// Those, and the popups that the page opens: sign-in and payment windows keep working.
        SameOriginAllowPopups = "same-origin-allow-popups",
        /// Those, and the page that opened this one as a popup.
        NoopenerAllowPopups = "noopener-allow-popups",
        /// All of them.
        UnsafeNone = "unsafe-none",
    }

    /// Whose pages may load a response without CORS, in `Cross-Origin-Resource-Policy`
    /// ([Fetch, section 3.7](https://fetch.spec.whatwg.org/#cross-origin-resource-policy-header)).
    ///
    /// It is about `<img>`, `<script>` and the like. Requests that use CORS do not ask for it.
    ResourcePolicy {
        /// Pages of the same origin.
        SameOrigin = "same-origin",
        /// Pages of the same registrable domain.
        SameSite = "same-site",
        /// All pages.
        AnyOrigin = "cross-origin",
    }

    /// What a page may load, in `Cross-Origin-Embedder-Policy`
    /// ([HTML, cross-origin embedder policies](https://html.spec.whatwg.org/multipage/browsers.html#coep)).
    EmbedderPolicy {
        /// Only what allows it, by CORS or by `Cross-Origin-Resource-Policy`.
        RequireCorp = "require-corp",
        /// The same, and all others without credentials.
        Credentialless = "credentialless",
        /// Everything.
        UnsafeNone = "unsafe-none",
    }
}
