use palisade_core::ApiError;

/// A part of a form with a size limit.
#[derive(Clone, Copy)]
pub(super) enum Part {
    Body,
    Headers,
    Field,
    File,
}

pub(super) fn too_large(part: Part, max: usize) -> ApiError {
    let part = match part {
        Part::Body => "the form is",
        Part::Headers => "the headers of a part are",
        Part::Field => "a field of the form is",
        Part::File => "a file is",
    };
    ApiError::payload_too_large().with_message(format!("{part} larger than {max} bytes"))
}
