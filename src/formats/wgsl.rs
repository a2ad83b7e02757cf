//! GPU programs without what only their readers need, as every byte of them is part of the browser's download.

/// The text of a file of `shaders/`, without the lines that are comments and without indentation.
#[macro_export]
macro_rules! wgsl {
    ($($path:expr),+) => {
        const {
            const TEXT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $($path,)+ ".wgsl"));
            const LEAN: [u8; $crate::formats::lean_length(TEXT)] = $crate::formats::lean(TEXT);
            match std::str::from_utf8(&LEAN) {
                Ok(text) => text,
                Err(_) => panic!("whole lines were left out"),
            }
        }
    };
}

/// The line that starts at `start`: where it is no longer indented, and where it ends, its newline included.
const fn line(text: &[u8], start: usize) -> (usize, usize) {
    let mut first = start;
    while first < text.len() && text[first] == b' ' {
        first += 1;
    }
    let mut end = first;
    while end < text.len() && text[end] != b'\n' {
        end += 1;
    }
    (first, if end < text.len() { end + 1 } else { end })
}

const fn is_comment(text: &[u8], first: usize) -> bool {
    first + 1 < text.len() && text[first] == b'/' && text[first + 1] == b'/'
}

/// Bytes of [`lean`].
#[doc(hidden)]
#[must_use]
pub const fn lean_length(text: &str) -> usize {
    let text = text.as_bytes();
    let (mut start, mut length) = (0, 0);
    while start < text.len() {
        let (first, end) = line(text, start);
        if !is_comment(text, first) {
            length += end - first;
        }
        start = end;
    }
    length
}

/// `text` without comments and indentation.
///
/// # Panics
/// If `N` is not [`lean_length`].
#[doc(hidden)]
#[must_use]
pub const fn lean<const N: usize>(text: &str) -> [u8; N] {
    let text = text.as_bytes();
    let mut lean = [0; N];
    let (mut start, mut length) = (0, 0);
    while start < text.len() {
        let (first, end) = line(text, start);
        if !is_comment(text, first) {
            let mut at = first;
            while at < end {
                lean[length] = text[at];
                length += 1;
                at += 1;
            }
        }
        start = end;
    }
    assert!(length == N);
    lean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_indentation_are_left_out() {
        const TEXT: &str = "// a\nfn f() {\n    // b\n    let x = 1 / 2; // c\n}";
        let lean = lean::<{ lean_length(TEXT) }>(TEXT);
        assert_eq!(lean, *b"fn f() {\nlet x = 1 / 2; // c\n}");
    }
}
