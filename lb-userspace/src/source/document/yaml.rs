//! One YAML or JSON document to a tree of values, within limits, and what a person needs to know
//! if it is none: the line in the file, and tabs called tabs.

use crate::source::document::split::Piece;
use crate::source::report::short;
use serde_json::Value;
use serde_saphyr::{Error, Options};

/// Deeper than any Kubernetes object, and what `serde_json` allows.
const MAX_DEPTH: usize = 128;
/// What a file of 16 MiB can have.
const MAX_NODES: usize = 2_000_000;
/// Anchors are for a few repeated labels, not for growing a file by a thousand.
const MAX_REPLAYED: usize = 100_000;
const MAX_REPLAYS_PER_ANCHOR: usize = 1_000;
const MAX_SCALAR_BYTES: usize = 32 << 20;

/// The values of a JSON text: one, or several behind each other; `None` if it is not JSON.
pub(crate) fn json(text: &str) -> Option<Vec<Value>> {
    let is_json = text.trim_start().starts_with('{');
    is_json.then(|| {
        serde_json::Deserializer::from_str(text).into_iter().collect::<Result<_, _>>().ok()
    })?
}

/// The value of a YAML document, or a sentence.
pub(crate) fn value(piece: &Piece) -> Result<Value, String> {
    // A `...` at the start ends the document before; parsers differ about it there.
    let text = piece.text.strip_prefix("...").unwrap_or(piece.text);
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| sentence(piece, &error))
}

fn options() -> Options {
    serde_saphyr::options! {
        with_snippet: false,
        emit_comments: false,
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 2 * MAX_NODES,
            max_total_scalar_bytes: MAX_SCALAR_BYTES,
            max_recorded_anchor_events: MAX_REPLAYED,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_REPLAYED,
            max_alias_expansions_per_anchor: MAX_REPLAYS_PER_ANCHOR,
        },
    }
}

fn sentence(piece: &Piece, error: &Error) -> String {
    if let Some(line) = tabbed_line(piece) {
        return format!("line {line} is indented with a tab; YAML allows only spaces there");
    }
    let text = error.without_snippet().to_string();
    let text = text.lines().next().unwrap_or_default();
    let Some(location) = error.location() else {
        return short(text, 300);
    };
    let (line, column) = (location.line(), location.column());
    let text = text.trim_end_matches(&format!(" at line {line}, column {column}"));
    let line = usize::try_from(line).unwrap_or_default() + piece.lines_before;
    format!("line {line}, column {column}: {}", short(text, 300))
}

fn tabbed_line(piece: &Piece) -> Option<usize> {
    let indented_by_tab = |line: &str| {
        let text = line.trim_start_matches([' ', '\t']);
        let indent = line.get(..line.len() - text.len()).unwrap_or_default();
        indent.contains('\t') && !text.is_empty()
    };
    let index = piece.text.lines().position(indented_by_tab)?;
    Some(piece.lines_before + index + 1)
}
