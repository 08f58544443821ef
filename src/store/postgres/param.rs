//! Values that are bound, each with the type that it is sent as: the server never guesses one.

use super::row::BoundTime;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

/// A bound value.
pub(super) type Param<'a> = &'a dyn Bound;

/// What can be bound.
pub(super) trait Bound: Sync {
    /// The value and its type, as the driver takes them.
    fn typed(&self) -> (&(dyn ToSql + Sync), Type);
}

macro_rules! bound {
    ($($rust:ty => $sql:ident),* $(,)?) => {
        $(
            impl Bound for $rust {
                fn typed(&self) -> (&(dyn ToSql + Sync), Type) {
                    (self, Type::$sql)
                }
            }
        )*
    };
}

bound! {
    bool => BOOL, i32 => INT4, i64 => INT8, u32 => OID, Option<u32> => OID, f64 => FLOAT8, Uuid => UUID, BoundTime => TIMESTAMPTZ,
    String => TEXT, &str => TEXT, Option<String> => TEXT, Option<&String> => TEXT, Option<&str> => TEXT,
    Vec<String> => TEXT_ARRAY, Vec<&str> => TEXT_ARRAY,
}
