//! The timeline of a dataset's changes as an SVG picture.
//!
//! Bars are drawn by the SVG backend of plotters: whole coordinates, escaped text, no fonts, so
//! the same data gives the same picture.

use plotters_backend::text_anchor::{HPos, Pos, VPos};
use plotters_backend::{BackendColor, BackendTextStyle, DrawingBackend, DrawingErrorKind, FontFamily};
use plotters_svg::SVGBackend;

use super::view::Timeline;
use super::words::grouped;

const SIZE: (i32, i32) = (940, 210);
/// Left, top, right and bottom edge of the bars.
const PLOT: (i32, i32, i32, i32) = (56, 26, 930, 150);
/// Top and bottom of the band of coverage.
const BAND: (i32, i32) = (156, 165);

const IN_FORCE: BackendColor = rgb(0x2f, 0x5d, 0x8a);
const UNDONE: BackendColor = rgb(0xd0, 0x8a, 0x2e);
const GRID: BackendColor = rgb(0xdd, 0xdd, 0xdd);
const TEXT: BackendColor = rgb(0x44, 0x44, 0x44);
const CUT: BackendColor = rgb(0xb0, 0x1e, 0x1e);
const DECLARED: BackendColor = rgb(0x5a, 0x9e, 0x6f);
const ASSUMED: BackendColor = rgb(0xb9, 0xd8, 0xc2);
const NO_COVER: BackendColor = rgb(0xe8, 0xc9, 0xc9);
const GAP: BackendColor = rgb(0x7a, 0x1f, 0x5c);

const fn rgb(r: u8, g: u8, b: u8) -> BackendColor {
    BackendColor { alpha: 1.0, rgb: (r, g, b) }
}

/// The picture, or `None` if no change has a time.
pub(super) fn timeline(timeline: &Timeline) -> Option<String> {
    if timeline.bars.is_empty() {
        return None;
    }
    let mut svg = String::new();
    let mut chart = Chart {
        backend: SVGBackend::with_string(&mut svg, (SIZE.0 as u32, SIZE.1 as u32)),
        timeline,
        most: timeline.bars.iter().map(|b| b.in_force + b.undone).max().unwrap_or(0).max(1),
    };
    // Text in memory takes whatever is drawn.
    let drawn = chart.draw();
    drop(chart);
    drawn.ok().map(|()| svg)
}

struct Chart<'a> {
    backend: SVGBackend<'a>,
    timeline: &'a Timeline,
    most: u64,
}

type Drawn = Result<(), DrawingErrorKind<std::io::Error>>;

impl Chart<'_> {
    fn draw(&mut self) -> Drawn {
        self.grid()?;
        self.bars()?;
        self.coverage()?;
        self.labels()?;
        self.cut()?;
        self.legend()?;
        self.backend.present()
    }

    /// The place of a time, kept inside the plot.
    fn x(&self, time: i64) -> i32 {
        let (first, end) = (self.timeline.bars[0].start, self.timeline.end);
        let span = (i128::from(end) - i128::from(first)).max(1);
        let into = (i128::from(time) - i128::from(first)).clamp(0, span);
        PLOT.0 + ((i128::from(PLOT.2 - PLOT.0) * into) / span) as i32
    }

    fn y(&self, count: u64) -> i32 {
        let height = i128::from(PLOT.3 - PLOT.1);
        let tall = (height * i128::from(count) + i128::from(self.most) / 2) / i128::from(self.most);
        // What is there must be seen, however small beside the others.
        PLOT.3 - (tall as i32).max(i32::from(count > 0))
    }

    fn grid(&mut self) -> Drawn {
        for count in [0, self.most.div_ceil(2), self.most] {
            let y = self.y(count).min(PLOT.3);
            self.backend.draw_line((PLOT.0, y), (PLOT.2, y), &GRID)?;
            self.text(&grouped(&count.to_string()), (PLOT.0 - 6, y), HPos::Right, TEXT)?;
        }
        Ok(())
    }

    fn bars(&mut self) -> Drawn {
        for (number, bar) in self.timeline.bars.iter().enumerate() {
            let next = self.timeline.bars.get(number + 1).map_or(self.timeline.end, |b| b.start);
            let (left, right) = (self.x(bar.start), self.x(next));
            let right = if right - left > 3 { right - 1 } else { right.max(left + 1) };
            let (lower, upper) = (self.y(bar.in_force), self.y(bar.in_force + bar.undone));
            if bar.in_force > 0 {
                self.backend.draw_rect((left, lower), (right, PLOT.3), &IN_FORCE, true)?;
            }
            if bar.undone > 0 {
                let foot = if bar.in_force > 0 { lower } else { PLOT.3 };
                self.backend.draw_rect((left, upper.min(foot - 1)), (right, foot), &UNDONE, true)?;
            }
        }
        Ok(())
    }

    /// For which span the ledger is complete, by declaration or by assumption.
    fn coverage(&mut self) -> Drawn {
        self.backend.draw_rect((PLOT.0, BAND.0), (PLOT.2, BAND.1), &NO_COVER, true)?;
        let from = self.timeline.complete_from.map_or(PLOT.0, |t| self.x(t));
        let known = self.timeline.complete_to.map_or(PLOT.2, |t| self.x(t));
        let start = if self.timeline.declared { DECLARED } else { ASSUMED };
        let style = if self.timeline.complete_to.is_some() { start } else { ASSUMED };
        if known > from {
            self.backend.draw_rect((from, BAND.0), (known, BAND.1), &style, true)?;
        }
        // Where records are known to be missing there is a hole in it, however narrow.
        let timeline = self.timeline;
        for &gap in &timeline.gaps {
            let left = (self.x(gap) - 2).clamp(PLOT.0, PLOT.2 - 4);
            self.backend.draw_rect((left, BAND.0 - 3), (left + 4, BAND.1 + 3), &GAP, true)?;
        }
        self.text("cover", (PLOT.0 - 6, (BAND.0 + BAND.1) / 2), HPos::Right, TEXT)
    }

    /// The days on which bars begin, as many as there is room for.
    fn labels(&mut self) -> Drawn {
        let room = 9;
        let step = self.timeline.bars.len().div_ceil(room).max(1);
        for bar in self.timeline.bars.iter().step_by(step) {
            let x = self.x(bar.start);
            if x > PLOT.2 - 40 {
                break;
            }
            self.backend.draw_line((x, PLOT.3), (x, PLOT.3 + 4), &TEXT)?;
            self.text(&bar.label, (x, BAND.1 + 11), HPos::Left, TEXT)?;
        }
        Ok(())
    }

    fn cut(&mut self) -> Drawn {
        let Some(as_of) = self.timeline.as_of else { return Ok(()) };
        let x = self.x(as_of);
        self.backend.draw_line((x, PLOT.1 - 8), (x, BAND.1 + 2), &CUT)?;
        let (place, side) = if x > PLOT.2 - 60 { (x - 5, HPos::Right) } else { (x + 5, HPos::Left) };
        self.text("as-of", (place, PLOT.1 - 10), side, CUT)
    }

    fn legend(&mut self) -> Drawn {
        let per = format!("changes per {}", self.timeline.unit);
        let y = SIZE.1 - 12;
        self.text(&per, (PLOT.0, y), HPos::Left, TEXT)?;
        let mut entries = vec![
            (IN_FORCE, "in force"),
            (UNDONE, "undone"),
            (DECLARED, "cover declared"),
            (ASSUMED, "cover assumed"),
            (NO_COVER, "no cover"),
        ];
        if !self.timeline.gaps.is_empty() {
            entries.push((GAP, "records missing"));
        }
        let mut x = PLOT.0 + 150;
        for (colour, word) in entries {
            self.backend.draw_rect((x, y - 5), (x + 10, y + 5), &colour, true)?;
            self.text(word, (x + 15, y), HPos::Left, TEXT)?;
            x += 40 + 7 * word.len() as i32;
        }
        Ok(())
    }

    fn text(&mut self, text: &str, at: (i32, i32), side: HPos, colour: BackendColor) -> Drawn {
        self.backend.draw_text(text, &Label { colour, side }, at)
    }
}

/// How text in a picture looks.
struct Label {
    colour: BackendColor,
    side: HPos,
}

impl BackendTextStyle for Label {
    type FontError = std::convert::Infallible;

    fn color(&self) -> BackendColor {
        self.colour
    }

    fn size(&self) -> f64 {
        // The backend divides by 1.24: 11 pixels.
        13.64
    }

    fn anchor(&self) -> Pos {
        Pos::new(self.side, VPos::Center)
    }

    fn family(&self) -> FontFamily<'_> {
        FontFamily::SansSerif
    }

    fn layout_box(&self, text: &str) -> Result<((i32, i32), (i32, i32)), Self::FontError> {
        Ok(((0, 0), (7 * text.chars().count() as i32, 11)))
    }

    fn draw<E, DrawFunc: FnMut(i32, i32, BackendColor) -> Result<(), E>>(
        &self,
        _: &str,
        _: (i32, i32),
        _: DrawFunc,
    ) -> Result<Result<(), E>, Self::FontError> {
        Ok(Ok(()))
    }
}
