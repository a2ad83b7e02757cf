//! Both axes of a roofline, logarithmic, and where things go between them.

use std::fmt::Write;
use std::ops::Range;

/// Half the width and half the height that a dot's number takes.
const LABEL: [f64; 2] = [8.0, 6.5];

/// The plot of a panel.
pub(super) struct Plot {
    /// Its upper left and its lower right corner.
    corners: [[f64; 2]; 2],
    /// The decades of operations per byte and of operations per second.
    decades: [Range<i32>; 2],
    bandwidth: f64,
    peak: f64,
}

impl Plot {
    /// Axes that hold the roof's ridge and all `points`.
    pub(super) fn new(
        corners: [[f64; 2]; 2],
        [bandwidth, peak]: [f64; 2],
        points: &[[f64; 2]],
    ) -> Self {
        let ridge = peak / bandwidth;
        let decades = |axis: usize, least: f64, most: f64| {
            let all = points.iter().map(|point| point[axis]);
            let (least, most) = all
                .filter(|value| value.is_finite() && *value > 0.0)
                .fold((least, most), |(least, most), value| {
                    (value.min(least), value.max(most))
                });
            // Some room, so that no dot is on the frame.
            (least / 1.3).log10().floor() as i32..(most * 1.3).log10().ceil() as i32
        };
        Self {
            corners,
            decades: [
                decades(0, ridge.min(1.0) / 2.0, ridge * 10.0),
                decades(1, peak / 10.0, peak * 1.5),
            ],
            bandwidth,
            peak,
        }
    }

    /// Pixels of a decade along an axis.
    fn decade(&self, axis: usize) -> f64 {
        let [first, last] = self.corners;
        (last[axis] - first[axis]) / self.decades[axis].len() as f64
    }

    /// Where a point is: operations per byte, operations per second.
    pub(super) fn place(&self, [intensity, speed]: [f64; 2]) -> [f64; 2] {
        let along = |axis: usize, value: f64| {
            let log = value.max(f64::MIN_POSITIVE).log10() - f64::from(self.decades[axis].start);
            (log * self.decade(axis)).clamp(0.0, self.corners[1][axis] - self.corners[0][axis])
        };
        let [left, bottom] = [self.corners[0][0], self.corners[1][1]];
        [left + along(0, intensity), bottom - along(1, speed)]
    }

    /// Whether a box around a place is inside.
    fn holds(&self, at: [f64; 2], half: [f64; 2]) -> bool {
        let [first, last] = self.corners;
        (0..2).all(|axis| {
            at[axis] - half[axis] > first[axis] + 2.0 && at[axis] + half[axis] < last[axis] - 2.0
        })
    }

    /// Grid, numbers and names.
    pub(super) fn draw_axes(&self, text: &mut String) {
        let [[left, top], [right, bottom]] = self.corners;
        for decade in self.decades[0].start..=self.decades[0].end {
            let [x, _] = self.place([10f64.powi(decade), 1.0]);
            _ = writeln!(
                text,
                "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{top}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>\
                 <text class=\"soft middle\" x=\"{x:.1}\" y=\"{}\">{}</text>",
                bottom + 16.0,
                power(decade)
            );
        }
        for decade in self.decades[1].start..=self.decades[1].end {
            let [_, y] = self.place([1.0, 10f64.powi(decade)]);
            _ = writeln!(
                text,
                "<line class=\"grid\" x1=\"{left}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>\
                 <text class=\"soft end\" x=\"{}\" y=\"{:.1}\">{}</text>",
                left - 8.0,
                y + 4.0,
                with_unit(decade)
            );
        }
        _ = writeln!(
            text,
            "<rect class=\"frame\" x=\"{left}\" y=\"{top}\" width=\"{}\" height=\"{}\"/>\n\
             <text class=\"soft middle\" x=\"{}\" y=\"{}\">operations per byte that must be moved</text>\n\
             <text class=\"soft middle\" transform=\"translate(18 {}) rotate(-90)\">operations per second</text>",
            right - left,
            bottom - top,
            f64::midpoint(left, right),
            bottom + 34.0,
            f64::midpoint(top, bottom),
        );
    }

    /// The roof's foot, at the frame's left side or its bottom, its ridge, and its end at the right side.
    fn roof(&self) -> [[f64; 2]; 3] {
        let [least, most] =
            [self.decades[0].start, self.decades[0].end].map(|decade| 10f64.powi(decade));
        let floor = 10f64.powi(self.decades[1].start);
        let foot = least.max(floor / self.bandwidth);
        [
            self.place([foot, self.bandwidth * foot]),
            self.place([self.peak / self.bandwidth, self.peak]),
            self.place([most, self.peak]),
        ]
    }

    /// The roof and what is under it.
    pub(super) fn draw_roof(&self, text: &mut String) {
        let [[x, y], [ridge, top], [end, _]] = self.roof();
        let bottom = self.corners[1][1];
        let line = format!("{x:.1},{y:.1} {ridge:.1},{top:.1} {end:.1},{top:.1}");
        _ = writeln!(
            text,
            "<polygon class=\"under\" points=\"{x:.1},{bottom} {line} {end:.1},{bottom}\"/>\n\
             <polyline class=\"roof\" points=\"{line}\"/>\n\
             <text class=\"halo end\" x=\"{:.1}\" y=\"{:.1}\">f32 peak {:.1} GFLOP/s</text>",
            end - 6.0,
            top - 7.0,
            self.peak / 1e9
        );
    }

    /// Writes what the rising part of the roof is over it, where the fewest dots are, and gives the circles that
    /// the words fill.
    pub(super) fn name_roof(&self, text: &mut String, dots: &[Dot]) -> Vec<Dot> {
        let [foot, ridge, _] = self.roof();
        let slope = (self.decade(1) / self.decade(0)).atan();
        let words = |part: f64| -> Vec<Dot> {
            let along = |axis: usize| foot[axis] + part * (ridge[axis] - foot[axis]);
            let above = 11.0;
            let [x, y] = [
                along(0) - above * slope.sin(),
                along(1) - above * slope.cos(),
            ];
            let circle = |step: i32| {
                let distance = 9.0 * f64::from(step);
                let at = [x + distance * slope.cos(), y - distance * slope.sin()];
                (at, 7.0)
            };
            (-5..=5).map(circle).collect()
        };
        let covered = |part: &f64| {
            let words = words(*part);
            let touches = |dot: &&Dot| words.iter().any(|word| touch(word, dot));
            dots.iter().filter(touches).count()
        };
        let parts = [0.75, 0.6, 0.45, 0.3, 0.85];
        let part = parts.into_iter().min_by_key(covered).unwrap_or(0.5);
        let words = words(part);
        let [x, y] = words[words.len() / 2].0;
        _ = writeln!(
            text,
            "<text class=\"halo middle\" transform=\"translate({x:.1} {y:.1}) rotate({:.2})\" dy=\"4\">copy {:.1} \
             GB/s</text>",
            -slope.to_degrees(),
            self.bandwidth / 1e9,
        );
        words
    }
}

/// A place, and a radius.
pub(super) type Dot = ([f64; 2], f64);

fn touch(a: &Dot, b: &Dot) -> bool {
    (a.0[0] - b.0[0]).hypot(a.0[1] - b.0[1]) < a.1 + b.1
}

/// Where each dot's number goes: near it, over no other number, over no dot and over no `words`, if there is such
/// a place.
pub(super) fn label_places(plot: &Plot, dots: &[Dot], words: &[Dot]) -> Vec<[f64; 2]> {
    let mut placed: Vec<[f64; 2]> = Vec::with_capacity(dots.len());
    for &(at, radius) in dots {
        let is_free = |place: &[f64; 2]| {
            let apart = |other: [f64; 2], half: [f64; 2]| {
                (0..2).any(|axis| (place[axis] - other[axis]).abs() > LABEL[axis] + half[axis])
            };
            plot.holds(*place, LABEL)
                && placed.iter().all(|&other| apart(other, LABEL))
                && dots
                    .iter()
                    .chain(words)
                    .all(|&(other, radius)| apart(other, [radius; 2]))
        };
        let around = (0..7).flat_map(|ring| {
            let distance = radius + 9.0 + 8.0 * f64::from(ring);
            (0..16).map(move |step| {
                let angle = f64::from(step) * std::f64::consts::TAU / 16.0 - 0.7;
                [
                    at[0] + distance * angle.cos(),
                    at[1] + distance * angle.sin(),
                ]
            })
        });
        let place = around.clone().find(is_free);
        placed.push(place.unwrap_or(at));
    }
    placed
}

fn power(decade: i32) -> String {
    if decade < 0 {
        format!("{:.*}", -decade as usize, 10f64.powi(decade))
    } else {
        format!("{}", 10u64.pow(decade as u32))
    }
}

fn with_unit(decade: i32) -> String {
    const UNITS: [&str; 6] = ["", " K", " M", " G", " T", " P"];
    let unit = decade.div_euclid(3).clamp(0, 5);
    format!("{}{}", power(decade - 3 * unit), UNITS[unit as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORNERS: [[f64; 2]; 2] = [[0.0, 0.0], [600.0, 300.0]];

    #[test]
    fn decades_are_named() {
        assert_eq!([-2, 0, 3].map(power), ["0.01", "1", "1000"]);
        assert_eq!(
            [4, 8, 9, 13].map(with_unit),
            ["10 K", "100 M", "1 G", "10 T"]
        );
    }

    #[test]
    fn points_lie_within_and_in_order() {
        let points = [[0.02, 3e6], [500.0, 2e12]];
        let plot = Plot::new(CORNERS, [1e10, 1e11], &points);
        let [low, high] = points.map(|point| plot.place(point));
        assert!(low[0] < high[0] && low[1] > high[1], "{low:?} {high:?}");
        for at in [low, high] {
            assert!(plot.holds(at, [0.0; 2]), "{at:?}");
        }
        // The ridge is where both roofs meet.
        let ridge = plot.place([10.0, 1e11]);
        assert!((plot.place([1.0, 1e10])[1] - ridge[1] - plot.decade(1)).abs() < 1e-9);
    }

    #[test]
    fn numbers_keep_apart() {
        let plot = Plot::new(CORNERS, [1e10, 1e11], &[]);
        let dots: Vec<_> = (0..20)
            .map(|dot| ([300.0 + f64::from(dot % 3), 150.0 + f64::from(dot)], 4.0))
            .collect();
        let places = label_places(&plot, &dots, &[]);
        for (index, a) in places.iter().enumerate() {
            for b in &places[..index] {
                let apart = (0..2).any(|axis| (a[axis] - b[axis]).abs() > 2.0 * LABEL[axis]);
                assert!(apart, "{a:?} {b:?}");
            }
        }
    }
}
