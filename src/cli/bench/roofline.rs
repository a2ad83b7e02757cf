//! A run as a picture: the roofline of Williams, Waterman and Patterson (Communications of the ACM 52, 2009).
//!
//! A panel per test. A kernel is a dot: how many operations it does for each byte that must be moved, and how many
//! a second it does. No kernel can be above the roof, which the device's bandwidth and its peak are, unless what
//! it reads is still in a cache.

use std::fmt::Write;

use super::by_op::Op;
use super::measure::Row;
use super::plot::{Plot, label_places};
use super::report::{Report, clock_name};
use super::samples::median;

const WIDTH: f64 = 1100.0;
const HEAD: f64 = 64.0;
/// What stands over and under a panel's plot.
const TITLE: f64 = 40.0;
const AXIS: f64 = 56.0;
const LEAST_PLOT: f64 = 300.0;
/// A line of the list of kernels.
const LINE: f64 = 18.0;
/// Where the list's columns are: the first starts there, the others end there.
const COLUMNS: [f64; 6] = [640.0, 880.0, 936.0, 988.0, 1034.0, 1084.0];
const COLUMN_NAMES: [&str; 6] = ["kernel", "time", "GFLOP/s", "GB/s", "of bw", "of peak"];

/// Works on light and on dark pages, with whatever font the reader's system has.
const STYLE: &str = "\
svg { --page: #ffffff; --ink: #1f2430; --soft: #667085; --line: #e4e7ec; --roof: #1f2430; --weights: #2f6fd8; \
--attention: #d9731a; --rest: #2c9a6b; background: var(--page); \
font-family: system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif; font-size: 12px; }
@media (prefers-color-scheme: dark) { svg { --page: #14171d; --ink: #e6e9ef; --soft: #98a2b3; --line: #2a2f3a; \
--roof: #e6e9ef; --weights: #6ea3ff; --attention: #ffa04d; --rest: #56cf9b; } }
text { fill: var(--ink); } .soft { fill: var(--soft); } .title { font-size: 17px; font-weight: 600; } \
.test { font-size: 14px; font-weight: 600; } .end { text-anchor: end; } .middle { text-anchor: middle; } \
.grid { stroke: var(--line); } .frame { fill: none; stroke: var(--line); } \
.roof { fill: none; stroke: var(--roof); stroke-width: 2; stroke-linejoin: round; } \
.under { fill: var(--ink); opacity: 0.04; } .lead { stroke: var(--soft); stroke-width: 0.75; } .dot { stroke: var(--page); stroke-width: 1; } \
.number { font-size: 11px; font-weight: 600; text-anchor: middle; dominant-baseline: central; } \
.halo { paint-order: stroke; stroke: var(--page); stroke-width: 3px; stroke-linejoin: round; } \
.weights { fill: var(--weights); } .attention { fill: var(--attention); } .rest { fill: var(--rest); }";

/// What kernels are told apart by.
const FAMILIES: [(&str, &str); 3] = [
    ("weights", "reads weights"),
    ("attention", "attention and its cache"),
    ("rest", "all else"),
];

fn family(op: &Op) -> &'static str {
    let of_cache = [
        "attention",
        "index",
        "select",
        "store",
        "splits",
        "pack_rows",
    ];
    if op.format.is_some() {
        "weights"
    } else if of_cache.iter().any(|part| op.kernel.contains(part)) {
        "attention"
    } else {
        "rest"
    }
}

impl Report {
    /// The picture, an SVG.
    pub(super) fn roofline(&self) -> String {
        let mut body = String::new();
        let mut top = HEAD;
        for row in &self.rows {
            let list = LINE * (row.ops.len() + 1) as f64;
            let plot = LEAST_PLOT.max(list);
            self.panel(&mut body, row, top, plot);
            top += TITLE + plot + AXIS;
        }
        let mut text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {top}\" width=\"{WIDTH}\" \
             height=\"{top}\" role=\"img\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"var(--page)\"/>\n",
            title = escape(&format!("Roofline of {}", self.model)),
        );
        self.head(&mut text);
        text + &body + "</svg>\n"
    }

    fn head(&self, text: &mut String) {
        let model = shortened(&self.model, 80);
        let device = shortened(&self.adapter.info.name, 90);
        _ = writeln!(
            text,
            "<text class=\"title\" x=\"24\" y=\"30\">{}</text>\n\
             <text class=\"soft\" x=\"24\" y=\"50\">{}, weights {}, cache {}</text>",
            escape(&model),
            escape(&device),
            escape(self.format()),
            self.cache_type
        );
        for ((class, name), x) in FAMILIES.iter().zip([668.0, 784.0, 946.0]) {
            _ = writeln!(
                text,
                "<circle class=\"{class}\" cx=\"{x}\" cy=\"46\" r=\"5\"/>\
                 <text class=\"soft\" x=\"{}\" y=\"50\">{name}</text>",
                x + 10.0
            );
        }
    }

    fn panel(&self, text: &mut String, row: &Row, top: f64, height: f64) {
        let middle = median(&row.speeds);
        _ = writeln!(
            text,
            "<text class=\"test\" x=\"24\" y=\"{y}\">{}</text>\n\
             <text class=\"soft\" x=\"620\" y=\"{y}\" text-anchor=\"end\">{middle:.1} tokens/s, {} launches, \
             times by the {}'s clock</text>",
            row.test.name(),
            row.launches,
            clock_name(row.clock),
            y = top + 24.0,
        );
        let points: Vec<_> = row
            .ops
            .iter()
            .map(|op| [op.intensity(), op.speed()])
            .collect();
        let corners = [[78.0, top + TITLE], [620.0, top + TITLE + height]];
        let plot = Plot::new(corners, [self.roof.bandwidth, self.roof.peak], &points);
        plot.draw_axes(text);
        plot.draw_roof(text);
        draw_dots(text, &plot, row, &points);
        self.list(text, row, top + TITLE);
    }

    /// The kernels by number, those that take longest first.
    fn list(&self, text: &mut String, row: &Row, top: f64) {
        let mut line = |y: f64, class: &str, cells: [String; 6]| {
            for (index, (cell, x)) in cells.iter().zip(COLUMNS).enumerate() {
                let end = if index > 0 { "end" } else { "" };
                let cell = escape(cell);
                _ = writeln!(
                    text,
                    "<text class=\"{class} {end}\" x=\"{}\" y=\"{y}\">{cell}</text>",
                    if index == 0 { x + 24.0 } else { x }
                );
            }
        };
        line(top + 12.0, "soft", COLUMN_NAMES.map(str::to_owned));
        for (index, op) in row.ops.iter().enumerate() {
            let [bandwidth, peak] = op.shares(&self.roof);
            let cells = [
                shortened(&op.name(), 25),
                format!("{:.1} %", 100.0 * op.took() / row.device()),
                significant(op.speed() / 1e9),
                significant(op.bandwidth() / 1e9),
                format!("{:.0} %", 100.0 * bandwidth),
                format!("{:.1} %", 100.0 * peak),
            ];
            line(top + 12.0 + LINE * (index + 1) as f64, "", cells);
        }
        for (index, op) in row.ops.iter().enumerate() {
            let y = top + 12.0 + LINE * (index + 1) as f64;
            _ = writeln!(
                text,
                "<text class=\"number {}\" x=\"{}\" y=\"{}\">{}</text>",
                family(op),
                COLUMNS[0] + 8.0,
                y - 4.0,
                index + 1
            );
        }
    }
}

/// Dots as large as their share of the step, and their numbers where there is room.
fn draw_dots(text: &mut String, plot: &Plot, row: &Row, points: &[[f64; 2]]) {
    let radius = |op: &Op| 3.0 + 9.0 * (op.took() / row.device()).sqrt();
    let dots: Vec<_> = row
        .ops
        .iter()
        .zip(points)
        .map(|(op, &point)| (plot.place(point), radius(op)))
        .collect();
    let words = plot.name_roof(text, &dots);
    let places = label_places(plot, &dots, &words);
    for ((at, _), place) in dots.iter().zip(&places) {
        _ = writeln!(
            text,
            "<line class=\"lead\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
            at[0], at[1], place[0], place[1]
        );
    }
    for (op, (at, radius)) in row.ops.iter().zip(&dots) {
        _ = writeln!(
            text,
            "<circle class=\"dot {}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius:.1}\"><title>{}</title></circle>",
            family(op),
            at[0],
            at[1],
            escape(&op.name())
        );
    }
    for (index, (op, place)) in row.ops.iter().zip(&places).enumerate() {
        _ = writeln!(
            text,
            "<text class=\"number halo {}\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            family(op),
            place[0],
            place[1],
            index + 1
        );
    }
}

/// Three digits that count.
fn significant(value: f64) -> String {
    let digits = (2.0 - value.max(1e-9).log10().floor()).clamp(0.0, 4.0);
    format!("{value:.0$}", digits as usize)
}

fn shortened(text: &str, most: usize) -> String {
    let count = text.chars().count();
    if count <= most {
        return text.to_owned();
    }
    let end: String = text.chars().skip(count - most + 1).collect();
    format!("…{end}")
}

fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let text = text.replace('>', "&gt;").replace('"', "&quot;");
    // XML has no place for them.
    text.replace(|c: char| c.is_control(), " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_fit_and_are_escaped() {
        assert_eq!(
            escape("a<b> & \"c\"\u{7}"),
            "a&lt;b&gt; &amp; &quot;c&quot; "
        );
        assert_eq!(shortened("a/long/path", 5), "…path");
        assert_eq!(shortened("path", 5), "path");
        assert_eq!(
            [1234.0, 123.4, 1.2345, 0.012_345, 0.0].map(significant),
            ["1234", "123", "1.23", "0.0123", "0.0000"]
        );
    }
}
