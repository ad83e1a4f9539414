use std::fmt;

/// Where in a value we are. Lives on the stack; becomes text only when something is wrong there.
pub(super) enum Path<'a> {
    Root,
    Field(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

/// The longest field name that is repeated, in bytes. Longer ones are a client's, not a programmer's.
const MAX_NAME: usize = 128;

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Field(parent, name) => {
                let name = if name.len() > MAX_NAME { "…" } else { name };
                parent.fmt(f)?;
                match parent {
                    Path::Root => f.write_str(name),
                    Path::Field(..) | Path::Index(..) => write!(f, ".{name}"),
                }
            }
            Path::Index(parent, at) => write!(f, "{parent}[{at}]"),
        }
    }
}
