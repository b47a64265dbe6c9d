//! The names of users and repositories. They are names of folders too, so nothing that means
//! something to a file system, a shell or a URL can be one.

use std::fmt;
use std::str::FromStr;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

use super::Error;

const LONGEST: usize = 64;

/// What is wrong with a name.
fn fault(name: &str) -> Option<&'static str> {
    let may_stand = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    match name.as_bytes() {
        [] => Some("it is empty"),
        bytes if bytes.len() > LONGEST => Some("it is too long"),
        bytes if !bytes.iter().copied().all(may_stand) => Some("it has a character that may not stand in it"),
        [first, ..] if !first.is_ascii_alphanumeric() => Some("it begins with neither a letter nor a digit"),
        [.., b'.'] => Some("it ends with a dot"),
        _ => None,
    }
}

/// Makes a newtype over a checked name.
macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);

        impl $type {
            /// As text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = Error;

            fn from_str(name: &str) -> Result<Self, Error> {
                match fault(name) {
                    None => Ok($type(name.to_owned())),
                    Some(why) => Err(Error::BadName { what: $what, name: name.to_owned(), why }),
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl ToSql for $type {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                self.0.to_sql()
            }
        }

        // Checked here too: a name becomes a path.
        impl FromSql for $type {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                value.as_str()?.parse().map_err(FromSqlError::other)
            }
        }
    };
}

name!(
    /// The name of a user, and of the folder of that user's repositories.
    UserName,
    "user"
);
name!(
    /// The name of a repository among its user's, and of its folder.
    RepositoryName,
    "repository"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_folder() {
        for good in ["a", "ann", "Ann-2", "0", "a.b_c-d", &"x".repeat(64)] {
            assert_eq!(good.parse::<UserName>().unwrap().as_str(), good);
        }
        let long = "x".repeat(65);
        for bad in [
            "", ".", "..", "../x", "a/b", "a\\b", ".hidden", "-f", "_x", "a.", "a b", "a\n", "a\0", "é", &long,
        ] {
            let error = bad.parse::<RepositoryName>().unwrap_err().to_string();
            assert!(
                error.contains("name of a repository") && !error.contains('\n'),
                "{error}"
            );
        }
    }
}
