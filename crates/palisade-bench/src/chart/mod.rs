//! A report as a chart in SVG: bars, or lines for a cost that grows.

mod bars;
mod lines;

use std::path::Path;

use plotters::prelude::*;

use crate::{Error, Report};

/// Colours follow the reader's setting; a program that does not know the rule shows those of the light one.
const STYLE: &str = "<style>text{fill:#24292f;font-family:system-ui,sans-serif}rect.paper{fill:#fff}\
    @media(prefers-color-scheme:dark){text{fill:#e6edf3}rect.paper{fill:#0d1117}}</style>";

/// Visible on light and on dark paper.
const BLUE: RGBColor = RGBColor(0x2d, 0x7f, 0xd3);
const ORANGE: RGBColor = RGBColor(0xd9, 0x6c, 0x2c);
const GREEN: RGBColor = RGBColor(0x3a, 0x96, 0x5c);
const GREY: RGBColor = RGBColor(0x80, 0x80, 0x80);
/// The colours of the subjects of a comparison, in their order.
const COLOURS: [RGBColor; 4] = [GREY, BLUE, ORANGE, GREEN];

impl Report {
    /// Writes a chart that is readable on light and on dark pages: the nanoseconds that each step of a ladder adds, or those of
    /// each subject of a comparison, one group of bars for each request or set. If the sets of a comparison are named by
    /// numbers, the chart has a line for each subject, and both axes count in powers of ten.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be written.
    pub fn write_svg(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let svg = if self.is_growth() { self.to_lines() } else { self.to_bars() };
        self.write(path.as_ref(), &svg.map_err(|error| Error::Chart(error.to_string()))?)
    }

    /// Returns true if all sets are named by numbers, so that the report shows how a cost grows.
    pub fn is_growth(&self) -> bool {
        !self.requests.is_empty() && self.requests.iter().all(|set| set.name.parse::<u64>().is_ok())
    }
}

/// Draws a chart of this size, and adds the style and the paper.
fn draw(
    size: (u32, u32),
    on: impl FnOnce(
        &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    ) -> Result<(), Box<dyn std::error::Error>>,
) -> Result<String, Box<dyn std::error::Error>> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        on(&area)?;
        area.present()?;
    }
    let (width, height) = size;
    let paper = format!("{STYLE}<rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>");
    let at = svg.find("<svg").and_then(|svg_tag| Some(svg_tag + svg[svg_tag..].find('>')? + 1));
    svg.insert_str(at.ok_or("no <svg> element")?, &paper);
    Ok(svg)
}
