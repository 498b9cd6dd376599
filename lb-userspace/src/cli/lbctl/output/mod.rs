//! Views to text: a table, JSON or YAML.

/// Rows to a table like kubectl's.
mod table;

use super::select::Selector;
use anyhow::Result;
use serde::Serialize;
use std::io::{IsTerminal as _, Write, stderr, stdout};

use table::table;
pub(super) use table::{Cell, Column, Tone, paint};

/// Where text goes.
pub struct Console<'a> {
    /// Standard output.
    pub out: &'a mut dyn Write,
    /// Standard error.
    pub err: &'a mut dyn Write,
    /// State words may be coloured.
    pub color: bool,
    /// Somebody watches: a list can be drawn over the one before.
    pub terminal: bool,
    /// Somebody watches standard error: progress can be shown there.
    pub watched: bool,
}

impl<'a> Console<'a> {
    /// The console of this process, with what its environment says about colours.
    pub fn of_process(out: &'a mut dyn Write, err: &'a mut dyn Write) -> Self {
        let (terminal, watched) = (stdout().is_terminal(), stderr().is_terminal());
        Self { out, err, color: super::may_color(), terminal, watched }
    }
}

/// The forms of output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// What one asks for most
    #[default]
    Table,
    /// More columns
    Wide,
    /// Everything, for programs
    Json,
    /// The same as JSON
    Yaml,
}

impl Format {
    pub(super) fn is_table(self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }
}

/// A form, and whether state words are coloured in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub(super) format: Format,
    pub(super) color: bool,
}

/// One line of a table, and one item of a list in JSON.
pub(super) trait Row: Serialize {
    /// The heads of all columns.
    const COLUMNS: &'static [Column];

    /// One cell per column.
    fn cells(&self) -> Vec<Cell>;

    /// Whether it is what a person asked for.
    fn is_selected(&self, selector: &Selector) -> bool;

    /// Left out of the short table.
    fn is_detail(&self) -> bool {
        false
    }
}

#[derive(Serialize)]
struct Items<'a, T> {
    items: &'a [T],
}

/// A list in the form asked for.
pub(super) fn list<R: Row>(rows: &[R], style: Style) -> Result<String> {
    if style.format.is_table() {
        Ok(table(rows, style))
    } else {
        document(&Items { items: rows }, style.format)
    }
}

/// One document for programs.
pub(super) fn document<T: Serialize>(value: &T, format: Format) -> Result<String> {
    match format {
        Format::Yaml => Ok(serde_saphyr::to_string(value)?),
        Format::Table | Format::Wide | Format::Json => {
            Ok(serde_json::to_string_pretty(value)? + "\n")
        }
    }
}
