//! One text to its YAML documents, cut at the lines `---` and `...` before any parser runs, so that
//! a broken document cannot hide those behind it. Such a line is a marker wherever it stands
//! (YAML 1.2.2 §9.1.2): no scalar may contain one.

/// A document, and how many lines of the file are before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    pub(crate) text: &'a str,
    pub(crate) lines_before: usize,
}

/// The documents of `text` that say something.
pub(crate) fn split(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    let mut lines_before = 0;
    let pieces = std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (head, tail) = rest.split_at(document_len(rest));
        let piece = Piece { text: head, lines_before };
        lines_before += head.bytes().filter(|&byte| byte == b'\n').count();
        rest = tail;
        Some(piece)
    });
    pieces.filter(|piece| says_something(piece.text))
}

/// Up to the next marker; the one that opens this document belongs to it.
fn document_len(text: &str) -> usize {
    let mut len = 0;
    for line in text.split_inclusive('\n') {
        if len > 0 && is_marker(line) {
            break;
        }
        len += line.len();
    }
    len
}

fn is_marker(line: &str) -> bool {
    let rest = line.strip_prefix("---").or_else(|| line.strip_prefix("..."));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
}

/// Comments, directives and markers say nothing.
fn says_something(text: &str) -> bool {
    text.lines().any(|line| {
        let line = if is_marker(line) { line.get(3..).unwrap_or_default() } else { line };
        let line = line.trim();
        !line.is_empty() && !line.starts_with(['#', '%'])
    })
}
