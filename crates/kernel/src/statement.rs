//! Raw SQL that PostgreSQL parses once per connection.
//!
//! Diesel never caches `sql_query`; a struct with a static [`diesel::query_builder::QueryId`] is
//! cached. The hot statements, which take whole sets as arrays, are written with this macro. It names
//! diesel where it is used: this crate does not depend on it.

/// Defines a private, cached statement: its binds, the row it returns, then the SQL with the binds in brackets.
///
/// ```ignore
/// statement! {
///     Forget(ids: Vec<Uuid>) -> sql_types::Uuid {
///         "DELETE FROM things WHERE id = ANY(" [ids: Array<sql_types::Uuid>] ") RETURNING id"
///     }
/// }
/// ```
#[macro_export]
macro_rules! statement {
    ($name:ident($($bind:ident: $rust:ty),* $(,)?) -> $row:ty { $($part:tt)+ }) => {
        #[derive(diesel::query_builder::QueryId)]
        struct $name { $($bind: $rust),* }

        impl diesel::query_builder::QueryFragment<diesel::pg::Pg> for $name {
            fn walk_ast<'b>(
                &'b self,
                mut out: diesel::query_builder::AstPass<'_, 'b, diesel::pg::Pg>,
            ) -> diesel::QueryResult<()> {
                $($crate::statement!(@part self, out, $part);)+
                Ok(())
            }
        }

        impl diesel::query_builder::Query for $name {
            type SqlType = $row;
        }
    };
    (@part $self:ident, $out:ident, [$bind:ident: $sql:ty]) => {
        $out.push_bind_param::<$sql, _>(&$self.$bind)?
    };
    (@part $self:ident, $out:ident, $sql:literal) => {
        $out.push_sql($sql)
    };
}
