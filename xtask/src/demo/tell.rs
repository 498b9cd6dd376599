//! How stories are told: headings, and below each a line for every claim.

use crate::step::mark;

/// Prints the heading of some claims.
pub(super) fn heading(text: &str) {
    println!("\n{}", console::style(text).bold());
}

/// Prints a claim that holds.
pub(super) fn tick(claim: &str) {
    println!("{} {claim}", mark(true));
}
