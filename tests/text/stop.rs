//! Stop strings against a search in the whole text.

use tiefsee::Error;
use tiefsee::text::StopStrings;

use crate::Random;

/// What is before the stop string that is complete first.
fn naive(text: &str, stops: &[String]) -> (String, bool) {
    for end in (0..=text.len()).filter(|&end| text.is_char_boundary(end)) {
        let ending = stops
            .iter()
            .filter(|stop| text[..end].ends_with(stop.as_str()));
        if let Some(length) = ending.map(String::len).max() {
            return (text[..end - length].to_owned(), true);
        }
    }
    (text.to_owned(), false)
}

fn run(pieces: &[&str], stops: &[String]) -> (String, bool) {
    let mut watcher = StopStrings::new(stops.to_vec()).unwrap();
    let mut answer: String = pieces.iter().map(|piece| watcher.push(piece)).collect();
    answer.push_str(&watcher.finish());
    (answer, watcher.stopped())
}

#[test]
fn any_split_gives_the_cut_of_the_whole_text() {
    let mut random = Random(5);
    let letters = ["a", "b", "ab", "é", "🙂"];
    for _ in 0..3000 {
        let stops: Vec<String> = (0..random.below(4))
            .map(|_| random.choose(&letters).to_owned() + &random.text(&letters, 2))
            .collect();
        let text = random.text(&letters, 12);
        let pieces = random.split(&text);
        assert_eq!(
            run(&pieces, &stops),
            naive(&text, &stops),
            "{pieces:?} {stops:?}"
        );
    }
}

#[test]
fn holds_back_only_what_could_become_a_stop_string() {
    let mut watcher = StopStrings::new(vec!["\n\nUser:".to_owned(), "END".to_owned()]).unwrap();
    assert_eq!(watcher.push("one E"), "one ");
    assert_eq!(watcher.push("N"), "");
    assert_eq!(watcher.push("E"), "EN");
    assert_eq!(watcher.push("x\n"), "Ex");
    assert_eq!(watcher.push("y"), "\ny");
    assert!(!watcher.stopped());
    assert_eq!(watcher.push("\n\nUser: hello"), "");
    assert!(watcher.stopped());
    assert_eq!(watcher.push("more"), "");
    assert_eq!(watcher.finish(), "");
}

#[test]
fn held_text_is_flushed_and_no_stops_hold_nothing() {
    let mut watcher = StopStrings::new(vec!["stop".to_owned()]).unwrap();
    assert_eq!(watcher.push("sto"), "");
    assert_eq!(watcher.finish(), "sto");
    let mut watcher = StopStrings::new(Vec::new()).unwrap();
    assert_eq!(watcher.push("text"), "text");
}

#[test]
fn empty_stop_strings_are_refused() {
    assert!(matches!(
        StopStrings::new(vec![String::new()]),
        Err(Error::Usage(_))
    ));
}
