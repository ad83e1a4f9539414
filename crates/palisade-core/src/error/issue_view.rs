/// The layout of issues in the body of an error.
///
/// | view | members | for |
/// | --- | --- | --- |
/// | list | `issues` | everyone; it alone has codes, sources and parameters |
/// | flat | `formErrors`, `fieldErrors` | forms: messages by top-level field |
/// | tree | `errors`, `properties`, `items`, nested, inside of `tree` | forms in forms |
///
/// An incomplete list has `truncated: true` beside it, in all views.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IssueView {
    /// One after the other.
    #[default]
    List,
    /// Messages by top-level field, as in [`ApiError::flatten_issues`](super::ApiError::flatten_issues).
    Flat,
    /// Nested as the input is, as [`ApiError::issue_tree`](super::ApiError::issue_tree) has them.
    Tree,
}
