//! Bars: the time that each step adds, or that each subject takes.

use plotters::prelude::*;

use super::{BLUE, COLOURS, GREY, ORANGE, draw};
use crate::{Report, RequestReport, table::shown};

const WIDTH: u32 = 800;
const BAR: u32 = 26;
/// The room for names: as much as the longest one takes, within these bounds, at so much for a character.
const NAMES: std::ops::RangeInclusive<usize> = 120..=420;
const CHARACTER: f64 = 7.3;

impl Report {
    pub(super) fn to_bars(&self) -> Result<String, Box<dyn std::error::Error>> {
        let rows: usize = self.requests.iter().map(|request| request.steps.len()).sum();
        let height = 20 + BAR * u32::try_from(rows + self.requests.len())?;
        let names = self.requests.iter().flat_map(|request| &request.steps).map(|step| &step.name);
        let longest = names.map(|name| name.chars().count()).max().unwrap_or_default();
        let room = (longest as f64 * CHARACTER) as usize + 40;
        let left = i32::try_from(room.clamp(*NAMES.start(), *NAMES.end()))?;
        draw((WIDTH, height), |area| {
            let mut top = 10;
            for request in &self.requests {
                top = self.bars(request, area, left, top)?;
            }
            Ok(())
        })
    }

    /// Draws the bars of one request from `left` on, and returns where the next one's begin.
    fn bars<D: DrawingBackend>(
        &self,
        request: &RequestReport,
        area: &DrawingArea<D, plotters::coord::Shift>,
        left: i32,
        mut top: i32,
    ) -> Result<i32, Box<dyn std::error::Error>>
    where
        D::ErrorType: 'static,
    {
        let row = BAR.cast_signed();
        let text = |size: i32| ("sans-serif", size).into_font().into_text_style(area);
        let longest = request.steps.iter().map(|step| shown(request, step)).fold(1.0, f64::max);
        let room = f64::from(WIDTH.cast_signed() - left - 130);
        let title = format!("{}: {}{}", self.title, request.name, request.outcome());
        area.draw(&Text::new(title, (10, top + 4), text(15)))?;
        top += row;
        for (at, step) in request.steps.iter().enumerate() {
            let length = shown(request, step).max(0.0) / longest * room;
            let end = left + length.round() as i32;
            let colour = match (at, request.is_rejected()) {
                (0, _) => GREY,
                _ if !request.is_ladder() => COLOURS[at % COLOURS.len()],
                (_, true) => ORANGE,
                (_, false) => BLUE,
            };
            area.draw(&Text::new(shortened(&step.name), (20, top + 5), text(13)))?;
            let corners = [(left, top + 3), (end.max(left + 1), top + row - 5)];
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

/// Returns the name, or as much of it as has room.
fn shortened(name: &str) -> String {
    let room = (*NAMES.end() as f64 - 40.0) / CHARACTER;
    match name.char_indices().nth(room as usize) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}
