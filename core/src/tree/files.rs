//! The files of a kind of directory as an enum: no number of a file stands anywhere else.

/// Declares an enum with a variant for each file of a kind, in the order of declaration, with the attribute that
/// describes it.
///
/// Gives `ATTRIBUTES` for [`Kind::attributes`](crate::tree::Kind::attributes), and `at`, which finds the variant of a
/// file's number there.
macro_rules! files {
    ($(#[$doc:meta])* $vis:vis enum $name:ident { $($variant:ident = $attribute:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        $vis enum $name {
            $(#[allow(missing_docs, reason = "the file's name is its documentation")] $variant,)*
        }

        impl $name {
            /// In the order of declaration.
            $vis const ATTRIBUTES: &'static [$crate::tree::Attribute] = &[$($attribute,)*];

            /// The file of this number.
            $vis fn at(number: usize) -> Result<Self, $crate::error::Refusal> {
                const ALL: &[$name] = &[$($name::$variant,)*];
                ALL.get(number).copied().ok_or($crate::error::Refusal::Gone)
            }
        }
    };
}

pub(crate) use files;
