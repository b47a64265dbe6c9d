//! Patterns in gitignore's syntax, over absolute paths.
//!
//! A pattern that starts with `/` is anchored at the file system's root, every
//! other one matches at any depth, with or without slashes inside. A `/` at the
//! end asks for a folder, `!` takes back what an earlier pattern said, and the
//! last pattern that fits a path decides. Names are bytes: `?` and `*` fit any
//! byte, so that names which are not UTF-8 can be matched too.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// Compiled patterns; one without any matches nothing.
#[derive(Clone, Debug)]
pub struct Filter(Gitignore);

/// A pattern or a file of patterns that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// The pattern does not parse.
    #[error("{origin}: {pattern}: {message}")]
    Pattern {
        /// `FILE:LINE`, or the option that gave it.
        origin: String,
        /// The pattern, readable.
        pattern: String,
        /// What is wrong with it.
        message: String,
    },
    /// The file of patterns cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// All patterns together are more than can be compiled.
    #[error("patterns: {0}")]
    TooMany(ignore::Error),
}

impl Default for Filter {
    fn default() -> Self {
        Filter(Gitignore::empty())
    }
}

impl Filter {
    /// Compiles `patterns` from an option called `option` (`--exclude`), then
    /// the lines of `files`, in that order. In files a line that is empty or
    /// starts with `#` says nothing; `\#` is a pattern.
    ///
    /// # Errors
    /// [`FilterError`], which names the file and line, or the option.
    pub fn new<P: AsRef<OsStr>, F: AsRef<Path>>(
        option: &str,
        patterns: &[P],
        files: &[F],
    ) -> Result<Self, FilterError> {
        let mut builder = GitignoreBuilder::new("/");
        // A `[` left open is a mistake, which git would take for a character.
        builder.allow_unclosed_class(false);
        for pattern in patterns {
            // Nobody types a comment as an option's value.
            let mut line = pattern.as_ref().as_bytes().to_vec();
            if line.starts_with(b"#") {
                line.insert(0, b'\\');
            }
            add(&mut builder, option, &line)?;
        }
        for file in files {
            let path = file.as_ref();
            let text = std::fs::read(path).map_err(|source| FilterError::File {
                path: path.to_owned(),
                source,
            })?;
            for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
                add(&mut builder, &format!("{}:{}", path.display(), at + 1), line)?;
            }
        }
        builder.build().map(Filter).map_err(FilterError::TooMany)
    }

    /// Whether there is no pattern at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the last pattern that fits this absolute path takes it. What lies
    /// in a taken folder is not looked at: the caller does not go there.
    pub fn matches(&self, path: &[u8], folder: bool) -> bool {
        self.verdict(path, folder) == Some(true)
    }

    /// What the last pattern that fits this absolute path says: `Some(false)`
    /// for one with `!`, `None` if no pattern fits.
    pub fn verdict(&self, path: &[u8], folder: bool) -> Option<bool> {
        match self.0.matched(Path::new(OsStr::from_bytes(path)), folder) {
            Match::None => None,
            Match::Ignore(_) => Some(true),
            Match::Whitelist(_) => Some(false),
        }
    }
}

fn add(builder: &mut GitignoreBuilder, origin: &str, line: &[u8]) -> Result<(), FilterError> {
    let wrong = |message: String| FilterError::Pattern {
        origin: origin.to_owned(),
        pattern: String::from_utf8_lossy(line).into_owned(),
        message,
    };
    let text = std::str::from_utf8(line)
        .map_err(|_| wrong("not UTF-8; write `?` for each byte that is not a character".to_owned()))?;
    builder
        .add_line(None, &at_any_depth(text))
        .map_err(|error| match error {
            ignore::Error::Glob { err, .. } => wrong(err),
            other => wrong(other.to_string()),
        })?;
    Ok(())
}

/// Git anchors `a/b` beside its .gitignore; there is no such place here, so a
/// slash inside a pattern does not anchor it: `a/b` is taken as `**/a/b`.
fn at_any_depth(line: &str) -> String {
    let (not, pattern) = match line.strip_prefix('!') {
        Some(rest) => ("!", rest),
        None => ("", line),
    };
    let inner = pattern.trim_end().trim_end_matches('/');
    let escaped = pattern.starts_with("\\!") || pattern.starts_with("\\#");
    if line.starts_with('#') || pattern.starts_with('/') || pattern.starts_with("**/") || !inner.contains('/') {
        return line.to_owned();
    }
    // Behind `**/` the first character needs no escape any more.
    format!("{not}**/{}", if escaped { &pattern[1..] } else { pattern })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(patterns: &[&str]) -> Filter {
        Filter::new::<_, &str>("--exclude", patterns, &[]).unwrap()
    }

    #[test]
    fn anchored_and_floating_patterns() {
        let filter = filter(&[
            "/tmp",
            "*.o",
            ".cache/",
            "src/gen",
            "!keep.o",
            "#odd",
            "!/x/y/keep2.o",
            "\\!a/b",
        ]);
        let cases: [(&[u8], bool, bool); 15] = [
            (b"/tmp", true, true),
            (b"/home/tmp", true, false),
            (b"/home/a.o", false, true),
            (b"/a.o", false, true),
            (b"/home/keep.o", false, false),
            (b"/home/.cache", true, true),
            (b"/home/.cache", false, false),
            (b"/home/src/gen", true, true),
            (b"/src/gen", true, true),
            (b"/home/xsrc/gen", true, false),
            (b"/home/#odd", false, true),
            (b"/home/bad\xff\nname.o", false, true),
            (b"/x/y/keep2.o", false, false),
            (b"/q/!a/b", false, true),
            (b"/", true, false),
        ];
        for (path, folder, taken) in cases {
            assert_eq!(filter.matches(path, folder), taken, "{}", String::from_utf8_lossy(path));
        }
        assert!(Filter::default().is_empty() && !Filter::default().matches(b"/a", false));
    }

    #[test]
    fn bytes_that_are_not_characters_fit_wildcards() {
        assert!(filter(&["/a/b?d"]).matches(b"/a/b\xffd", false));
        assert!(!filter(&["/a/b?d"]).matches(b"/a/b\xff\xffd", false));
    }

    #[test]
    fn files_have_comments_and_errors_name_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("excludes");
        std::fs::write(&file, "# comment/with slash\n\n*.tmp\n\\#a\n").unwrap();
        let filter = Filter::new::<&str, _>("--exclude", &[], &[&file]).unwrap();
        assert!(filter.matches(b"/x.tmp", false) && filter.matches(b"/#a", false));
        assert!(!filter.matches(b"/# comment/with slash", false));

        std::fs::write(&file, "fine\na[\n").unwrap();
        let error = Filter::new::<&str, _>("--exclude", &[], &[&file])
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(&format!("{}:2: a[: ", file.display())), "{error}");
        let error = Filter::new::<_, &str>("--exclude", &[OsStr::from_bytes(b"\xff")], &[]).unwrap_err();
        assert!(
            error.to_string().starts_with("--exclude: \u{fffd}: not UTF-8"),
            "{error}"
        );
        assert!(Filter::new::<&str, _>("--exclude", &[], &["/nowhere/file"]).is_err());
    }
}
