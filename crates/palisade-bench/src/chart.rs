//! A report as a chart: the time that each step adds, as bars in SVG.

use std::path::Path;

use plotters::prelude::*;

use crate::{Error, Report, RequestReport, table::added};

const WIDTH: u32 = 800;
const BAR: u32 = 26;
const LABELS: i32 = 220;

/// Colours follow the reader's setting; a program that does not know the rule sees those of the light one.
const STYLE: &str = "<style>text{fill:#24292f;font-family:system-ui,sans-serif}rect.paper{fill:#fff}\
    @media(prefers-color-scheme:dark){text{fill:#e6edf3}rect.paper{fill:#0d1117}}</style>";

const ALLOWED: RGBColor = RGBColor(0x2d, 0x7f, 0xd3);
const REJECTED: RGBColor = RGBColor(0xd9, 0x6c, 0x2c);

impl Report {
    /// Writes a chart of the nanoseconds that each step adds, one group of bars for each request. The chart is readable on
    /// light and on dark pages.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be written.
    pub fn write_svg(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let svg = self.to_svg().map_err(|error| Error::Chart(error.to_string()))?;
        self.write(path.as_ref(), &svg)
    }

    fn to_svg(&self) -> Result<String, Box<dyn std::error::Error>> {
        let rows: usize = self.requests.iter().map(|request| request.steps.len()).sum();
        let height = 20 + BAR * u32::try_from(rows + self.requests.len())?;
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
            let mut top = 10;
            for request in &self.requests {
                top = self.bars(request, &area, top)?;
            }
            area.present()?;
        }
        let paper = format!("{STYLE}<rect class=\"paper\" width=\"{WIDTH}\" height=\"{height}\"/>");
        let at = svg.find("<svg").and_then(|svg_tag| Some(svg_tag + svg[svg_tag..].find('>')? + 1));
        svg.insert_str(at.ok_or("no <svg> element")?, &paper);
        Ok(svg)
    }

    /// Draws the bars of one request, and returns where the next one's begin.
    fn bars<D: DrawingBackend>(
        &self,
        request: &RequestReport,
        area: &DrawingArea<D, plotters::coord::Shift>,
        mut top: i32,
    ) -> Result<i32, Box<dyn std::error::Error>>
    where
        D::ErrorType: 'static,
    {
        let row = BAR.cast_signed();
        let text = |size: i32| ("sans-serif", size).into_font().into_text_style(area);
        let longest = request.steps.iter().map(added).fold(1.0, f64::max);
        let room = f64::from(WIDTH.cast_signed() - LABELS - 120);
        let title = format!("{}: {} ({})", self.title, request.name, request.status);
        area.draw(&Text::new(title, (10, top + 4), text(15)))?;
        top += row;
        for step in &request.steps {
            let end = LABELS + (added(step).max(0.0) / longest * room).round() as i32;
            let colour = if request.is_rejected() { REJECTED } else { ALLOWED };
            area.draw(&Text::new(step.name.clone(), (20, top + 5), text(13)))?;
            let corners = [(LABELS, top + 3), (end.max(LABELS + 1), top + row - 5)];
            area.draw(&Rectangle::new(corners, colour.filled()))?;
            let label = match step.added {
                Some(added) if added.nanos.is_noise() => "within the noise".to_owned(),
                Some(added) => format!("{:+.0} ns", added.nanos.median),
                None => format!("{:.0} ns", step.total.nanos.median),
            };
            area.draw(&Text::new(label, (end + 8, top + 5), text(13)))?;
            top += row;
        }
        Ok(top)
    }
}
