//! `$(NAME)` in a command, as Kubernetes' `third_party/forked/golang/expansion` reads it. Pure.

/// `text` with `$(NAME)` replaced by its value, and `$$` by `$`; a name without value stays as it
/// is written.
pub(super) fn expand<'a>(text: &str, value: impl Fn(&str) -> Option<&'a str>) -> String {
    let (mut expanded, mut rest) = (String::new(), text);
    // Looked for once: a text that opens many and closes none must not take long.
    let last = text.rfind(')').map_or(0, |last| text.len() - last);
    while let Some((before, behind)) = rest.split_once('$') {
        expanded.push_str(before);
        rest = behind;
        let closes = rest.len() >= last && last > 0;
        let reference = rest.strip_prefix('(').filter(|_| closes);
        if let Some(behind) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = behind;
        } else if let Some((name, behind)) = reference.and_then(|rest| rest.split_once(')')) {
            match value(name) {
                Some(value) => expanded.push_str(value),
                None => expanded.extend(["$(", name, ")"]),
            }
            rest = behind;
        } else {
            expanded.push('$');
        }
    }
    expanded.push_str(rest);
    expanded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let value = |name: &str| match name {
            "A" => Some("a"),
            "EMPTY" => Some(""),
            "NESTED" => Some("$(A)"),
            _ => None,
        };
        assert_eq!(expand(text, value), expect, "{text}");
    }

    #[test]
    fn a_reference_becomes_its_value_once() {
        check("$(A)", "a");
        check("x$(A)-$(A)y", "xa-ay");
        check("$(EMPTY)", "");
        check("$(NESTED)", "$(A)");
    }

    #[test]
    fn what_has_no_value_stays() {
        check("$(B) $() ($A) $A", "$(B) $() ($A) $A");
    }

    #[test]
    fn two_are_one_and_begin_nothing() {
        check("$$(A)", "$(A)");
        check("$$$(A)", "$a");
        check("$$$$", "$$");
        check("$", "$");
    }

    #[test]
    fn what_is_not_closed_is_a_text() {
        check("$(A", "$(A");
        check("$(A) $(A", "a $(A");
        check(&"$(".repeat(1 << 20), &"$(".repeat(1 << 20));
    }
}
