#[cfg_attr(not(feature = "calendar"), expect(dead_code, reason = "no quota has a calendar then"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Period {
    Day,
    Month,
}

/// One day or month: its number, and when it begins and ends, in nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) number: u64,
    pub(super) start: u64,
    pub(super) end: u64,
}
