/// A code of an [`Issue`](crate::Issue), and what it stands for: a line in the catalogue.
///
/// ```
/// use palisade_core::IssueCode;
///
/// const WEEKEND: IssueCode = IssueCode::new("weekend", "Nothing is delivered on that day.", &["next"]);
/// assert_eq!(WEEKEND.params, ["next"]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IssueCode {
    /// A `snake_case` word that never changes.
    pub code: &'static str,
    /// What it means, for the people who write clients.
    pub about: &'static str,
    /// The names of the parameters that such issues may have.
    pub params: &'static [&'static str],
}

impl IssueCode {
    /// A code, what it means, and the names of the parameters that such issues may have.
    pub const fn new(
        code: &'static str,
        about: &'static str,
        params: &'static [&'static str],
    ) -> Self {
        Self { code, about, params }
    }
}
