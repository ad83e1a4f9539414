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
    /// How much of a page's URL its requests send in `Referer`, set by `Referrer-Policy` ([Referrer Policy, section
    /// 3](https://www.w3.org/TR/referrer-policy/#referrer-policies)).
    ///
    /// `unsafe-url` is omitted, because it sends URLs with their secrets over plain http.
    ReferrerPolicy {
        /// No referrer.
        NoReferrer = "no-referrer",
        /// The full URL to all origins, but nothing from https to http. The weakest policy here.
        NoReferrerWhenDowngrade = "no-referrer-when-downgrade",
        /// The origin to all origins.
        Origin = "origin",
        /// All of it to the same origin, the origin to others.
        OriginWhenCrossOrigin = "origin-when-cross-origin",
        /// The full URL to the same origin, nothing to others.
        SameOrigin = "same-origin",
        /// The origin to all origins, but nothing from https to http.
        StrictOrigin = "strict-origin",
        /// The full URL to the same origin, the origin to others, nothing from https to http. The default of browsers.
        StrictOriginWhenCrossOrigin = "strict-origin-when-cross-origin",
    }

    /// The windows that share a browsing context with a page, in `Cross-Origin-Opener-Policy` ([HTML, cross-origin opener
    /// policies](https://html.spec.whatwg.org/multipage/browsers.html#cross-origin-opener-policies)).
    OpenerPolicy {
        /// Windows of the same origin with the same policy.
        SameOrigin = "same-origin",
        /// Also popups that the page opens, so that sign-in and payment windows work.
        SameOriginAllowPopups = "same-origin-allow-popups",
        /// Also the page that opened this one as a popup.
        NoopenerAllowPopups = "noopener-allow-popups",
        /// All of them.
        UnsafeNone = "unsafe-none",
    }

    /// The pages that may load a response without CORS, in `Cross-Origin-Resource-Policy` ([Fetch, section
    /// 3.7](https://fetch.spec.whatwg.org/#cross-origin-resource-policy-header)).
    ///
    /// It applies to `<img>`, `<script>` and similar elements, but not to requests with CORS.
    ResourcePolicy {
        /// Pages of the same origin.
        SameOrigin = "same-origin",
        /// Pages of the same registrable domain.
        SameSite = "same-site",
        /// All pages.
        AnyOrigin = "cross-origin",
    }

    /// The resources that a page may load, in `Cross-Origin-Embedder-Policy` ([HTML, cross-origin embedder
    /// policies](https://html.spec.whatwg.org/multipage/browsers.html#coep)).
    EmbedderPolicy {
        /// Only resources that allow it by CORS or by `Cross-Origin-Resource-Policy`.
        RequireCorp = "require-corp",
        /// Also other resources, which are loaded without credentials.
        Credentialless = "credentialless",
        /// Everything.
        UnsafeNone = "unsafe-none",
    }
}
