//! Bars: the time that each step adds, or that each subject takes.

use plotters::prelude::*;

use super::{BLUE, GREY, ORANGE, draw};
use crate::{Report, RequestReport, table::shown};

const WIDTH: u32 = 800;
const BAR: u32 = 26;
const LABELS: i32 = 260;

impl Report {
    pub(super) fn to_bars(&self) -> Result<String, Box<dyn std::error::Error>> {
        let rows: usize = self.requests.iter().map(|request| request.steps.len()).sum();
        let height = 20 + BAR * u32::try_from(rows + self.requests.len())?;
        draw((WIDTH, height), |area| {
            let mut top = 10;
            for request in &self.requests {
                top = self.bars(request, area, top)?;
            }
            Ok(())
        })
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
        let longest = request.steps.iter().map(|step| shown(request, step)).fold(1.0, f64::max);
        let room = f64::from(WIDTH.cast_signed() - LABELS - 120);
        let title = format!("{}: {}{}", self.title, request.name, request.outcome());
        area.draw(&Text::new(title, (10, top + 4), text(15)))?;
        top += row;
        for (at, step) in request.steps.iter().enumerate() {
            let length = shown(request, step).max(0.0) / longest * room;
            let end = LABELS + length.round() as i32;
            let colour = match (at, request.is_rejected()) {
                (0, _) => GREY,
                (_, true) => ORANGE,
                (_, false) => BLUE,
            };
            area.draw(&Text::new(step.name.clone(), (20, top + 5), text(13)))?;
            let corners = [(LABELS, top + 3), (end.max(LABELS + 1), top + row - 5)];
            area.draw(&Rectangle::new(corners, colour.filled()))?;
            let added = step.added.and_then(|added| added.nanos).filter(|_| request.is_ladder());
            let label = match (added, step.total.nanos) {
                (Some(added), _) if added.is_noise() => "within the noise".to_owned(),
                (Some(added), _) => format!("{:+.0} ns", added.median),
                (None, Some(total)) => format!("{:.0} ns", total.median),
                (None, None) => "not measured".to_owned(),
            };
            area.draw(&Text::new(label, (end + 8, top + 5), text(13)))?;
            top += row;
        }
        Ok(top)
    }
}
