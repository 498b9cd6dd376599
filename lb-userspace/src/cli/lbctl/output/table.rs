//! Rows to a table like kubectl's: no borders, upper-case heads, columns by their width.

use super::{Format, Row, Style};
use comfy_table::{Color, presets};

/// A column of a table.
pub(crate) struct Column {
    head: &'static str,
    wide: bool,
}

impl Column {
    /// Always there.
    pub(crate) const fn new(head: &'static str) -> Self {
        Self { head, wide: false }
    }

    /// There with `-o wide`.
    pub(crate) const fn wide(head: &'static str) -> Self {
        Self { head, wide: true }
    }
}

/// What a state word means to the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Not a state.
    Plain,
    /// As it should be.
    Good,
    /// Worth a look.
    Odd,
    /// Somebody is not served.
    Bad,
    /// Said by the way.
    Dim,
}

impl Tone {
    fn color(self) -> Option<Color> {
        match self {
            Self::Plain => None,
            Self::Good => Some(Color::Green),
            Self::Odd => Some(Color::Yellow),
            Self::Bad => Some(Color::Red),
            Self::Dim => Some(Color::DarkGrey),
        }
    }
}

/// A word in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A word that is no state.
    pub(crate) fn new(text: impl ToString) -> Self {
        Self::state(text, Tone::Plain)
    }

    /// A state word.
    pub(crate) fn state(text: impl ToString, tone: Tone) -> Self {
        Self { text: text.to_string(), tone }
    }

    fn styled(self) -> comfy_table::Cell {
        let cell = comfy_table::Cell::new(self.text);
        match self.tone.color() {
            Some(color) => cell.fg(color),
            None => cell,
        }
    }
}

/// Rows under their heads; nothing if there is no row.
pub(super) fn table<R: Row>(rows: &[R], style: Style) -> String {
    let wide = style.format == Format::Wide;
    let shown: Vec<&R> = rows.iter().filter(|row| wide || !row.is_detail()).collect();
    if shown.is_empty() {
        return String::new();
    }
    let mut table = bare(style.color);
    table.set_header(
        R::COLUMNS.iter().filter(|column| wide || !column.wide).map(|column| column.head),
    );
    for row in shown {
        let cells = row.cells().into_iter().zip(R::COLUMNS);
        table.add_row(
            cells.filter(|(_, column)| wide || !column.wide).map(|(cell, _)| cell.styled()),
        );
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt() + "\n"
}

fn bare(color: bool) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(presets::NOTHING).force_no_tty();
    table.style_text_only();
    if color {
        table.enforce_styling();
    }
    table
}

/// A state word outside of a table.
pub(crate) fn paint(word: &str, tone: Tone, style: Style) -> String {
    let mut table = bare(style.color);
    table.add_row([Cell::state(word, tone).styled()]);
    table.trim_fmt().trim_start().to_owned()
}
