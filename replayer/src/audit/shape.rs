//! What a value looks like without what it says.

/// Characters of a shape or example at most.
const CHARS_MAX: usize = 32;

/// `A` for upper case, `a` for lower case and anything beyond ASCII, `9` for a digit; signs stay.
pub(super) fn of(text: &str) -> String {
    let masked = text.chars().map(|c| match c {
        'A'..='Z' => 'A',
        '0'..='9' => '9',
        'a'..='z' => 'a',
        c if !c.is_ascii() => 'a',
        c if c.is_control() => ' ',
        c => c,
    });
    shortened(&masked.collect::<String>())
}

/// The beginning of a text, and how long it is.
pub(super) fn shortened(text: &str) -> String {
    let chars = text.chars().count();
    if chars <= CHARS_MAX {
        return text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    }
    let start: String = text.chars().take(CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{start}… ({chars} characters)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_tells_nothing_but_its_kind() {
        assert_eq!(of("Anna.Meier@school.example"), "Aaaa.Aaaaa@aaaaaa.aaaaaaa");
        assert_eq!(of("4111 1111"), "9999 9999");
        assert_eq!(of("ß\n"), "a ");
        assert_eq!(of(&"x".repeat(40)), format!("{}… (40 characters)", "a".repeat(32)));
    }
}
