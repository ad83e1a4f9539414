#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Scheme<'a> {
    Http,
    Https,
    /// The scheme of a browser extension or an app.
    Other(&'a str),
}

impl<'a> Scheme<'a> {
    pub(super) fn as_str(self) -> &'a str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Other(scheme) => scheme,
        }
    }

    pub(super) fn default_port(self) -> Option<u16> {
        match self {
            Self::Http => Some(80),
            Self::Https => Some(443),
            Self::Other(_) => None,
        }
    }

    pub(super) fn default_port_suffix(self) -> &'static str {
        match self {
            Self::Http => ":80",
            Self::Https => ":443",
            Self::Other(_) => "",
        }
    }
}
