//! The submits of a recording.
//!
//! A run is one submit as long as the device is done with it quickly. Windows resets a device that is busy for two
//! seconds, so a longer run is split into several submits, by the time its parts took before.

use std::ops::Range;

use web_time::Duration;

/// Longest submit to aim for.
const SUBMIT_TARGET: Duration = Duration::from_millis(100);
/// Launches of a submit whose time is not known yet.
const UNKNOWN_LAUNCHES: usize = 8;

/// Launches that share a submit, and how long they took.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) launches: Range<usize>,
    took: Option<Duration>,
}

/// The parts of so many launches before the first run.
pub(super) fn unknown(launches: usize) -> Vec<Part> {
    let starts = (0..launches).step_by(UNKNOWN_LAUNCHES);
    let part = |start| Part {
        launches: start..launches.min(start + UNKNOWN_LAUNCHES),
        took: None,
    };
    starts.map(part).collect()
}

/// Groups `parts` anew by how long the submissions of `ran` took, unless a run that was submitted before
/// this one has already led to other parts: then these times say nothing of them.
pub(super) fn learn(parts: &mut Vec<Part>, ran: &[Range<usize>], took: &[Duration]) {
    if parts.iter().map(|part| &part.launches).eq(ran) {
        *parts = regroup(parts, took);
    }
}

/// Joins neighbouring parts that fit one submit, and halves those that took too long.
fn regroup(parts: &[Part], took: &[Duration]) -> Vec<Part> {
    let mut grouped: Vec<Part> = Vec::new();
    for (part, &took) in parts.iter().zip(took) {
        // The least of all runs: a busy machine makes a part look longer than it is.
        let took = part.took.map_or(took, |before| before.min(took));
        let Range { start, end } = part.launches;
        if took > SUBMIT_TARGET && end - start > 1 {
            let middle = usize::midpoint(start, end);
            grouped.extend([start..middle, middle..end].map(|launches| Part {
                launches,
                took: None,
            }));
            continue;
        }
        match grouped.last_mut() {
            Some(Part {
                launches,
                took: Some(before),
            }) if *before + took <= SUBMIT_TARGET => {
                launches.end = end;
                *before += took;
            }
            _ => grouped.push(Part {
                launches: start..end,
                took: Some(took),
            }),
        }
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(launches: Range<usize>, millis: Option<u64>) -> Part {
        Part {
            launches,
            took: millis.map(Duration::from_millis),
        }
    }

    #[test]
    fn short_parts_become_one_submit() {
        let parts = [part(0..8, None), part(8..16, None), part(16..20, None)];
        let grouped = regroup(&parts, &[Duration::from_millis(10); 3]);
        assert_eq!(grouped.len(), 1);
        assert_eq!(grouped[0].launches, 0..20);
    }

    #[test]
    fn long_parts_are_split_until_they_are_short() {
        let grouped = regroup(&[part(0..8, None)], &[Duration::from_millis(400)]);
        assert_eq!(
            grouped
                .iter()
                .map(|part| part.launches.clone())
                .collect::<Vec<_>>(),
            [0..4, 4..8]
        );
        // A single launch cannot be split.
        assert_eq!(
            regroup(&[part(0..1, None)], &[Duration::from_millis(400)]).len(),
            1
        );
        // What was measured short stays so, even if one run is slow.
        assert_eq!(
            regroup(&[part(0..8, Some(20))], &[Duration::from_millis(400)]).len(),
            1
        );
    }

    #[test]
    fn times_of_other_parts_change_nothing() {
        // Two runs were under way when the first one's times split its only part.
        let mut parts = vec![part(0..8, None)];
        let ran: Vec<_> = parts.iter().map(|part| part.launches.clone()).collect();
        learn(&mut parts, &ran, &[Duration::from_millis(400)]);
        assert_eq!(parts.len(), 2);
        learn(&mut parts, &ran, &[Duration::from_millis(400)]);
        let launches: Vec<_> = parts.iter().map(|part| part.launches.clone()).collect();
        assert_eq!(launches, [0..4, 4..8]);
    }

    #[test]
    fn parts_are_joined_only_up_to_the_target() {
        let parts = [part(0..2, None), part(2..4, None), part(4..6, None)];
        let grouped = regroup(&parts, &[60, 50, 40].map(Duration::from_millis));
        assert_eq!(
            grouped
                .iter()
                .map(|part| part.launches.clone())
                .collect::<Vec<_>>(),
            [0..2, 2..6]
        );
    }
}
