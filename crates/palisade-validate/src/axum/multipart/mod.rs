//! Forms with files: read whole, or streamed.

mod file_rules;
mod form;
mod gauge;
mod layer;
mod parameters;
mod parts;
mod stream;
mod too_large;
mod uploads;

pub(super) use self::parts::is_form_data;
pub use self::{
    form::{Multipart, Upload},
    layer::{UploadsLayer, UploadsService},
    stream::{MultipartStream, UploadStream},
    uploads::{Uploads, UploadsBuilder},
};
