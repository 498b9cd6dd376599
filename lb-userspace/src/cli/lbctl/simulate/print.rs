//! A scenario as people read it: a line for each check, and more where something differs.

use crate::cli::lbctl::output::{Format, Style, Tone, paint};
use crate::simulate::{Check, Report};
use serde_json::Value;
use std::fmt::Write as _;

/// All of it, with an empty line behind.
pub(super) fn text(report: &Report, style: Style) -> String {
    let mut text = report.id.clone();
    if !report.title.is_empty() {
        let _ = write!(text, ": {}", report.title);
    }
    text.push('\n');
    let columns = Columns::of(&report.checks);
    for check in &report.checks {
        columns.write(check, style, &mut text);
    }
    for problem in &report.problems {
        let _ = writeln!(text, "  {}", paint(&format!("note: {problem}"), Tone::Dim, style));
    }
    text + "\n"
}

/// How wide the columns of a scenario are, in characters.
struct Columns {
    name: usize,
    about: usize,
}

impl Columns {
    fn of(checks: &[Check]) -> Self {
        let widest = |word: fn(&Check) -> &String| {
            checks.iter().map(|check| word(check).chars().count()).max().unwrap_or(0)
        };
        Self { name: widest(|check| &check.name), about: widest(|check| &check.about) }
    }

    /// One check.
    fn write(&self, check: &Check, style: Style, text: &mut String) {
        let (mark, tone) = if check.ok { ("✓", Tone::Good) } else { ("✗", Tone::Bad) };
        let wide = style.format == Format::Wide;
        let mut line = format!("  {} {:<2$}", paint(mark, tone, style), check.name, self.name);
        if wide {
            let _ = write!(line, "  {:<1$}", check.about, self.about);
        }
        let _ = write!(line, "  {}", check.summary);
        let _ = writeln!(text, "{}", line.trim_end());
        for difference in &check.differences {
            let _ = writeln!(text, "      {}", paint(difference, Tone::Bad, style));
        }
        for backend in several_backends(check).iter().filter(|_| wide) {
            let _ = writeln!(text, "      {}", paint(backend, Tone::Dim, style));
        }
    }
}

/// The backends that were met, unless the line itself names the only one.
fn several_backends(check: &Check) -> Vec<&str> {
    let list = check.actual.get("backends").and_then(Value::as_array);
    let names: Vec<&str> = list.into_iter().flatten().filter_map(Value::as_str).collect();
    if names.len() > 1 { names } else { Vec::new() }
}
