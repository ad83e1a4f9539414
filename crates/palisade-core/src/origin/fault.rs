use super::scheme::Scheme;

/// The reasons, in the order of parsing. They do not allocate, because clients can cause most of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OriginFault<'a> {
    Null,
    File,
    NotInFull,
    SchemeCase,
    SchemeName,
    SchemeWithoutPages(&'a str),
    OtherHost,
    TrailingSlash,
    Path,
    UserInfo,
    List,
    Pattern,
    OpenBracket,
    AfterBracket,
    NoBrackets,
    NoHost,
    NotAscii,
    HostCase,
    TrailingDot,
    HostBytes,
    TooLong,
    EmptyLabel,
    Ipv4,
    Ipv6,
    Ipv6Form,
    DefaultPort(Scheme<'a>),
    Port,
}
