//! How an enum of a few words is declared, so that each word stands in one place. A macro only; every module may use it.

/// Declares an enum whose variants have one spelling each, in configuration, logs, metrics and SQL.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// Every variant, in their order.
            pub const ALL: [Self; Self::SPELLINGS.len()] = [$(Self::$variant),+];

            /// Every spelling, in the order of the variants.
            pub const SPELLINGS: &'static [&'static str] = &[$($text),+];

            /// How the value is spelled.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The value of a spelling, if it is one.
            pub fn from_spelling(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
