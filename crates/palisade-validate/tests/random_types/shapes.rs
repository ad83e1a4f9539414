//! Shapes, and the types that read them.

use super::*;

#[derive(Debug)]
pub(super) struct Shape {
    pub(super) kind: Kind,
    pub(super) children: Vec<Rc<Shape>>,
}

macro_rules! kinds {
    ($($kind:ident)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Kind { $($kind),* }

        pub(super) const KINDS: &[Kind] = &[$(Kind::$kind),*];

        /// A value of any shape.
        #[allow(dead_code)]
        enum Any { $($kind(Box<$kind>)),* }

        impl Any {
            fn read<'de, D: Deserializer<'de>>(kind: Kind, input: D) -> Result<Self, D::Error> {
                match kind { $(Kind::$kind => $kind::deserialize(input).map(Box::new).map(Any::$kind)),* }
            }

            fn schema(kind: Kind, generator: &mut SchemaGenerator) -> Schema {
                match kind { $(Kind::$kind => $kind::json_schema(generator)),* }
            }

            fn check(&self, parent: &mut dyn FnMut() -> Path, report: &mut Report) {
                match self { $(Any::$kind(value) => value.validate_into(&(), parent, report)),* }
            }
        }
    };
}

// The first ones have nothing inside.
kinds! {
    Text Number Flag Float Address Even Word
    Optional List Map Tuple Newtype Struct External Internal Adjacent Untagged Flattened
}
pub(super) const SCALARS: usize = 7;

thread_local! {
    /// The shapes that are being read, from the outside in.
    static OPEN: RefCell<Vec<Rc<Shape>>> = const { RefCell::new(Vec::new()) };
    pub(super) static ROOT: RefCell<Option<Rc<Shape>>> = const { RefCell::new(None) };
}

pub(super) fn within<T>(shape: Rc<Shape>, read: impl FnOnce(Kind) -> T) -> T {
    struct Close;
    impl Drop for Close {
        fn drop(&mut self) {
            OPEN.with_borrow_mut(Vec::pop);
        }
    }
    let kind = shape.kind;
    OPEN.with_borrow_mut(|open| open.push(shape));
    let _close = Close;
    read(kind)
}

pub(super) fn child(at: usize) -> Rc<Shape> {
    OPEN.with_borrow(|open| Rc::clone(&open.last().expect("a parent").children[at]))
}

/// A field: its shape is inside of the one that is being read.
struct Child<const AT: usize>(Any);

/// The outermost value. 0: its shape is in [`ROOT`]. Others have one of their own, because the schema of a type does not change.
pub(super) struct Root<const SEED: u64>(Any);

pub(super) fn root(seed: u64) -> Rc<Shape> {
    match seed {
        0 => ROOT.with_borrow(|root| Rc::clone(root.as_ref().expect("a shape"))),
        seed => shape(&mut Random(seed * 0x9e37_79b9), 4),
    }
}

macro_rules! delegating {
    ($($type:ident<$parameter:ident: $of:ty>, $shape:ident;)*) => {$(
        impl<'de, const $parameter: $of> Deserialize<'de> for $type<$parameter> {
            fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
                within($shape($parameter), |kind| Any::read(kind, input)).map(Self)
            }
        }

        impl<const $parameter: $of> JsonSchema for $type<$parameter> {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                format!("{}{}", stringify!($type), $parameter).into()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                within($shape($parameter), |kind| Any::schema(kind, generator))
            }

            fn _schemars_private_is_option() -> bool {
                $shape($parameter).kind == Kind::Optional
            }
        }

        impl<const $parameter: $of> Validate for $type<$parameter> {
            type Context = ();

            fn validate_into(&self, _: &(), parent: &mut dyn FnMut() -> Path, report: &mut Report) {
                self.0.check(parent, report);
            }
        }
    )*};
}

delegating! {
    Child<AT: usize>, child;
    Root<SEED: u64>, root;
}

macro_rules! transparent {
    ($($name:ident($rule:meta, $type:ty);)*) => {$(
        #[derive(Deserialize, JsonSchema, Validate)]
        #[serde(transparent)]
        #[garde(transparent)]
        struct $name(#[$rule] $type);
    )*};
}

/// A transparent type must have a rule.
#[allow(clippy::unnecessary_wraps)]
fn any_value<T>(_: &T, (): &()) -> garde::Result {
    Ok(())
}

transparent! {
    Text(garde(length(chars, min = 2)), String);
    Number(garde(range(min = 1)), u8);
    Flag(garde(custom(any_value)), bool);
    Float(garde(range(max = 8.5)), f64);
    Address(garde(custom(any_value)), IpAddr);
    Even(garde(custom(any_value)), EvenNumber);
    Word(garde(custom(any_value)), Words);
    Optional(garde(dive), Option<Child<0>>);
    List(garde(dive), Vec<Child<0>>);
    Map(garde(dive), BTreeMap<String, Child<0>>);
    Tuple(garde(dive), (Child<0>, Child<1>));
}

#[derive(Deserialize, JsonSchema)]
#[serde(try_from = "u32")]
#[schemars(with = "u32")]
struct EvenNumber;

impl TryFrom<u32> for EvenNumber {
    type Error = &'static str;

    fn try_from(number: u32) -> Result<Self, Self::Error> {
        if number.is_multiple_of(2) { Ok(Self) } else { Err("must be even") }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Words {
    OneWord,
    Other,
}

#[derive(Deserialize, JsonSchema, Validate)]
struct Newtype(#[garde(dive)] Child<0>);

#[derive(Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
struct Struct {
    #[garde(dive)]
    first_one: Child<0>,
    #[serde(alias = "z")]
    #[garde(dive)]
    second: Child<1>,
    #[serde(default, rename = "3rd")]
    #[garde(dive)]
    third: Option<Text>,
}

#[derive(Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
enum External {
    UnitOne,
    New(#[garde(dive)] Child<0>),
    Pair(#[garde(dive)] Child<0>, #[garde(dive)] Child<1>),
    Fields {
        #[garde(dive)]
        a: Child<0>,
        #[serde(alias = "z")]
        #[garde(dive)]
        b: Child<1>,
    },
}

#[derive(Deserialize, JsonSchema, Validate)]
#[serde(tag = "kind", rename_all = "camelCase")]
enum Internal {
    UnitOne,
    Fields {
        #[garde(dive)]
        a: Child<0>,
        #[serde(alias = "z")]
        #[garde(dive)]
        b: Child<1>,
    },
}

#[derive(Deserialize, JsonSchema, Validate)]
#[serde(tag = "t", content = "c", rename_all = "camelCase")]
enum Adjacent {
    UnitOne,
    New(#[garde(dive)] Child<0>),
    Fields {
        #[garde(dive)]
        a: Child<0>,
        #[serde(alias = "z")]
        #[garde(dive)]
        b: Child<1>,
    },
}

#[derive(Deserialize, JsonSchema, Validate)]
#[serde(untagged)]
enum Untagged {
    New(#[garde(dive)] Child<0>),
    Fields {
        #[garde(dive)]
        a: Child<1>,
    },
}

#[derive(Deserialize, JsonSchema, Validate)]
struct Flattened {
    #[garde(dive)]
    own: Child<0>,
    #[serde(flatten)]
    #[garde(dive)]
    rest: Rest,
}

#[derive(Deserialize, JsonSchema, Validate)]
struct Rest {
    #[serde(alias = "z")]
    #[garde(dive)]
    deep: Child<1>,
    #[garde(range(min = 1))]
    other: Option<u8>,
}
