/// Whether and how an error has been rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rendered {
    /// Not rendered, or rendered without data of the request.
    No,
    /// Rendered in the default format with data of the request.
    ByDefault,
    /// Rendered in the configured format. It is final.
    AsChosen,
}
