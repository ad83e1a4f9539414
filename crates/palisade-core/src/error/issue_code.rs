/// The code of an [`Issue`](crate::Issue) with its description: a line of the catalogue.
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
    /// The description for authors of clients.
    pub about: &'static str,
    /// The names of the parameters that such issues may have.
    pub params: &'static [&'static str],
}

impl IssueCode {
    /// Creates a code with its description and the names of its parameters.
    pub const fn new(
        code: &'static str,
        about: &'static str,
        params: &'static [&'static str],
    ) -> Self {
        Self { code, about, params }
    }
}
