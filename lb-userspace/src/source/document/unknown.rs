//! Fields that a type does not know (`prots:` for `ports:`), as strict validation would name them:
//! whatever was written and does not come back when the typed object is written again.
//!
//! `metadata` and `status` are left alone: old dumps carry fields there that nobody misses.

use crate::source::report::short;
use serde_json::Value;

/// Paths in `written` that are not in `known`.
pub(crate) fn fields(written: &Value, known: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(written, known, "", &mut found);
    found
}

fn collect(written: &Value, known: &Value, path: &str, found: &mut Vec<String>) {
    match (written, known) {
        (Value::Object(written), Value::Object(known)) => {
            for (name, value) in
                written.iter().filter(|(name, value)| is_compared(path, name, value))
            {
                let path = join(path, name);
                match known.get(name) {
                    Some(known) => collect(value, known, &path, found),
                    None => found.push(path),
                }
            }
        }
        (Value::Array(written), Value::Array(known)) => {
            for (index, (written, known)) in written.iter().zip(known).enumerate() {
                collect(written, known, &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

fn is_compared(path: &str, name: &str, value: &Value) -> bool {
    let is_left_alone = path.is_empty() && matches!(name, "metadata" | "status");
    !value.is_null() && !is_left_alone
}

pub(super) fn join(path: &str, name: &str) -> String {
    let name = short(name, 60);
    let name = name.escape_debug();
    if path.is_empty() { name.to_string() } else { format!("{path}.{name}") }
}
