//! Rust source to words, so that no rule trips over a comment or a string.

use anyhow::{Result, anyhow};
use proc_macro2::{Delimiter, Group, Spacing, TokenStream, TokenTree};
use std::str::FromStr;

/// A word of Rust: an identifier, a literal with its quotes, `::`, one bracket or other sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// As written.
    pub(super) text: String,
    /// Its line, from 1.
    pub(super) line: usize,
}

/// The words of a file in order, without comments.
pub(super) fn scan(source: &str) -> Result<Vec<Token>> {
    let stream = TokenStream::from_str(source).map_err(|error| anyhow!("not Rust: {error}"))?;
    let mut tokens = Vec::new();
    flatten(stream, &mut tokens);
    Ok(tokens)
}

fn flatten(stream: TokenStream, into: &mut Vec<Token>) {
    let mut trees = stream.into_iter();
    while let Some(tree) = trees.next() {
        let line = tree.span().start().line;
        if let TokenTree::Group(group) = tree {
            bracket(&group, into);
        } else if is_first_colon(&tree) {
            trees.next();
            into.push(Token { text: "::".into(), line });
        } else {
            into.push(Token { text: tree.to_string(), line });
        }
    }
}

fn is_first_colon(tree: &TokenTree) -> bool {
    matches!(tree, TokenTree::Punct(sign)
        if sign.as_char() == ':' && sign.spacing() == Spacing::Joint)
}

fn bracket(group: &Group, into: &mut Vec<Token>) {
    let (open, close) = match group.delimiter() {
        Delimiter::Brace => ("{", "}"),
        Delimiter::Bracket => ("[", "]"),
        Delimiter::Parenthesis => ("(", ")"),
        Delimiter::None => ("", ""),
    };
    into.push(Token { text: open.into(), line: group.span_open().start().line });
    flatten(group.stream(), into);
    into.push(Token { text: close.into(), line: group.span_close().start().line });
}

/// Whether `tokens` begin with `words`.
pub(super) fn starts_with(tokens: &[Token], words: &[&str]) -> bool {
    tokens.len() >= words.len() && tokens.iter().zip(words).all(|(token, word)| token.text == *word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<String> {
        scan(source).unwrap().into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_are_gone_and_strings_stay_quoted() {
        assert_eq!(texts("a // b\n/* c */ \"d\""), ["a", "\"d\""]);
    }

    #[test]
    fn paths_keep_their_colons_together() {
        assert_eq!(texts("crate::{a::b}"), ["crate", "::", "{", "a", "::", "b", "}"]);
    }

    #[test]
    fn a_word_knows_its_line() {
        assert_eq!(scan("a\n\nb").unwrap()[1].line, 3);
    }
}
