//! Standard output: tables for people, arrays of objects for programs.

use std::io::{self, BufWriter, StdoutLock, Write};

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::ser::Formatter;

use crate::error::Stdout;
use crate::text::{hex, printable, steers};

/// Standard output, buffered. What fails is told as [`Stdout`], so that a
/// reader that has had enough ends us silently.
pub struct Out(BufWriter<StdoutLock<'static>>);

impl Out {
    /// Locks standard output.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Out(BufWriter::new(io::stdout().lock()))
    }

    /// One line.
    pub fn line(&mut self, line: impl std::fmt::Display) -> Result<(), Stdout> {
        writeln!(self.0, "{line}").map_err(Stdout)
    }

    /// Bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Stdout> {
        self.0.write_all(bytes).map_err(Stdout)
    }

    /// One object on one line.
    pub fn object(&mut self, object: &impl Serialize) -> Result<(), Stdout> {
        self.json(object)?;
        self.line("")
    }

    /// An array of objects, one a line.
    pub fn array(&mut self, objects: impl IntoIterator<Item = impl Serialize>) -> Result<(), Stdout> {
        let mut is_empty = true;
        for object in objects {
            self.element(&mut is_empty, &object)?;
        }
        self.line(if is_empty { "[]" } else { "]" })
    }

    fn element(&mut self, is_empty: &mut bool, object: &impl Serialize) -> Result<(), Stdout> {
        let before = std::mem::replace(is_empty, false);
        self.bytes(if before { b"[" } else { b",\n " })?;
        self.json(object)
    }

    /// Everything is out; what cannot be said in `drop` is said here.
    pub fn finish(mut self) -> Result<(), Stdout> {
        self.0.flush().map_err(Stdout)
    }

    fn json(&mut self, object: &impl Serialize) -> Result<(), Stdout> {
        let mut serializer = serde_json::Serializer::with_formatter(&mut self.0, Plain);
        object.serialize(&mut serializer).map_err(|error| Stdout(error.into()))
    }
}

/// JSON of which nothing steers a terminal: what JSON need not escape (DEL, what ISO 6429 has beyond ASCII, marks of
/// direction) is escaped too.
struct Plain;

impl Formatter for Plain {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, letter)) = rest.char_indices().find(|(_, letter)| steers(*letter)) {
            writer.write_all(&rest.as_bytes()[..at])?;
            // All of these are in the first plane.
            write!(writer, "\\u{:04x}", u32::from(letter))?;
            rest = &rest[at + letter.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

/// An array of objects, one a line, written as they come: a listing may be
/// longer than memory.
pub struct Array {
    out: Out,
    empty: bool,
}

impl Array {
    /// Begins an array on standard output.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Array {
            out: Out::new(),
            empty: true,
        }
    }

    /// Adds an object.
    pub fn push(&mut self, object: &impl Serialize) -> Result<(), Stdout> {
        self.out.element(&mut self.empty, object)
    }

    /// Ends the array.
    pub fn finish(mut self) -> Result<(), Stdout> {
        self.out.line(if self.empty { "[]" } else { "]" })?;
        self.out.finish()
    }
}

/// Rows in columns as wide as their widest cell.
pub struct Table {
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings; of one that begins with `>` the column is aligned right.
    pub fn new(headings: &[&str]) -> Self {
        let heading = |heading: &&str| heading.trim_start_matches('>').to_owned();
        Table {
            right: headings.iter().map(|heading| heading.starts_with('>')).collect(),
            rows: vec![headings.iter().map(heading).collect()],
        }
    }

    /// A table without headings; `true` aligns right.
    pub fn bare(right: &[bool]) -> Self {
        Table {
            right: right.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; cells are printable already.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.right.len());
        self.rows.push(cells.into());
    }

    /// The lines, without blanks at their ends.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let width = |column: usize| {
            self.rows
                .iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.right.len()).map(width).collect();
        self.rows.iter().map(move |row| {
            let cells = row
                .iter()
                .zip(&self.right)
                .zip(&widths)
                .map(|((cell, right), width)| match right {
                    true => format!("{cell:>width$}"),
                    false => format!("{cell:<width$}"),
                });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
    }

    /// Prints it.
    pub fn print(&self, out: &mut Out) -> Result<(), Stdout> {
        self.lines().try_for_each(|line| out.line(line))
    }
}

/// Bytes in an object, to be flattened into it: the field `name`, and
/// `name_hex` where the bytes are not UTF-8. An empty one is left out.
pub struct Bytes<'a>(pub &'static str, pub &'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Bytes(name, bytes) = self;
        let mut map = serializer.serialize_map(None)?;
        if !bytes.is_empty() {
            map.serialize_entry(name, &String::from_utf8_lossy(bytes))?;
        }
        if std::str::from_utf8(bytes).is_err() {
            map.serialize_entry(&format!("{name}_hex"), &hex(bytes))?;
        }
        map.end()
    }
}

/// A list of paths in an object, flattened like [`Bytes`]: `name`, and
/// `name_hex` (all of them) where one is not UTF-8.
pub struct ManyBytes<'a>(pub &'static str, pub &'a [Vec<u8>]);

impl Serialize for ManyBytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ManyBytes(name, all) = self;
        let mut map = serializer.serialize_map(None)?;
        let lossy: Vec<_> = all.iter().map(|bytes| String::from_utf8_lossy(bytes)).collect();
        map.serialize_entry(name, &lossy)?;
        if all.iter().any(|bytes| std::str::from_utf8(bytes).is_err()) {
            let exact: Vec<_> = all.iter().map(|bytes| hex(bytes)).collect();
            map.serialize_entry(&format!("{name}_hex"), &exact)?;
        }
        map.end()
    }
}

/// Paths and why, for stderr: the first few, or all of them.
pub fn explained(items: &[(Vec<u8>, String)], all: bool) -> Vec<String> {
    const FEW: usize = 10;
    let shown = if all { items.len() } else { FEW.min(items.len()) };
    let mut lines: Vec<String> = items[..shown]
        .iter()
        .map(|(path, why)| format!("{}: {why}", printable(path)))
        .collect();
    if shown < items.len() {
        lines.push(format!("and {} more; -v lists them all", items.len() - shown));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["NAME", ">SIZE", "TAGS"]);
        table.row(["é".into(), "1.0 KiB".into(), "a".into()]);
        table.row(["longer".into(), "1 B".into(), String::new()]);
        let lines: Vec<String> = table.lines().collect();
        assert_eq!(
            lines,
            ["NAME       SIZE  TAGS", "é       1.0 KiB  a", "longer      1 B"]
        );
    }

    #[test]
    fn bytes_that_are_not_utf8_are_there_in_hexadecimal_too() {
        #[derive(Serialize)]
        struct Object<'a> {
            #[serde(flatten)]
            path: Bytes<'a>,
            #[serde(flatten)]
            roots: ManyBytes<'a>,
        }
        let roots = [b"/a".to_vec()];
        let object = |path| {
            serde_json::to_string(&Object {
                path: Bytes("path", path),
                roots: ManyBytes("roots", &roots),
            })
        };
        assert_eq!(object(b"/a\n").unwrap(), r#"{"path":"/a\n","roots":["/a"]}"#);
        assert_eq!(
            object(b"/\xff").unwrap(),
            r#"{"path":"/�","path_hex":"2fff","roots":["/a"]}"#
        );
    }

    #[test]
    fn json_steers_no_terminal_and_is_read_back_as_it_was() {
        let wild = "é\u{7f}\u{80}\u{9b}2J\u{202e}\n\u{1b}\"ü";
        let mut bytes = Vec::new();
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, Plain);
        wild.serialize(&mut serializer).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text, r#""é\u007f\u0080\u009b2J\u202e\n\u001b\"ü""#);
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), wild);
    }

    #[test]
    fn long_lists_are_cut_unless_asked_for() {
        let items = vec![(b"/a\n".to_vec(), "gone".to_owned()); 12];
        assert_eq!(explained(&items, true).len(), 12);
        let few = explained(&items, false);
        assert_eq!((few.len(), few[0].as_str()), (11, "/a\\n: gone"));
        assert!(few[10].starts_with("and 2 more"));
    }
}
