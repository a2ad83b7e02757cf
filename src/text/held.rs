//! Text that has to wait, because it may become a marker.

/// How many bytes at the end of `text` are the beginning of one of `markers`, but not all of it.
pub(super) fn begun(text: &str, markers: &[impl AsRef<str>]) -> usize {
    let markers = || markers.iter().map(AsRef::as_ref);
    let longest = markers().map(str::len).max().unwrap_or(0);
    let first = text.len() - text.len().min(longest.saturating_sub(1));
    let mut starts = (first..text.len()).filter(|&start| text.is_char_boundary(start));
    let begins = |start: &usize| markers().any(|marker| marker.starts_with(&text[*start..]));
    starts.find(begins).map_or(0, |start| text.len() - start)
}
