//! Standard output: tables for people, objects for programs.

use std::io::{self, BufWriter, StdoutLock, Write};

use serde::Serialize;

use crate::error::Stdout;

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
        serde_json::to_writer(&mut self.0, object).map_err(|error| Stdout(error.into()))?;
        self.line("")
    }

    /// An array of objects, one a line.
    pub fn array(&mut self, objects: impl IntoIterator<Item = impl Serialize>) -> Result<(), Stdout> {
        let mut before = "[";
        for object in objects {
            self.bytes(before.as_bytes())?;
            serde_json::to_writer(&mut self.0, &object).map_err(|error| Stdout(error.into()))?;
            before = ",\n ";
        }
        self.line(if before == "[" { "[]" } else { "]" })
    }

    /// Everything is out; what cannot be said in `drop` is said here.
    pub fn finish(mut self) -> Result<(), Stdout> {
        self.0.flush().map_err(Stdout)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["NAME", ">SIZE", "KEY"]);
        table.row(["é".into(), "1.0 KiB".into(), "a".into()]);
        table.row(["longer".into(), "1 B".into(), String::new()]);
        let lines: Vec<String> = table.lines().collect();
        assert_eq!(lines, ["NAME       SIZE  KEY", "é       1.0 KiB  a", "longer      1 B"]);
    }
}
