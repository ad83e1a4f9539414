//! Lines: how the time of each subject grows.

use plotters::prelude::*;

use super::{COLOURS, GREY, draw};
use crate::Report;

const SIZE: (u32, u32) = (800, 380);

impl Report {
    pub(super) fn to_lines(&self) -> Result<String, Box<dyn std::error::Error>> {
        let mut lines: Vec<(&str, Vec<(f64, f64)>)> = Vec::new();
        for set in &self.requests {
            for step in &set.steps {
                let Some(nanos) = step.total.nanos else { continue };
                let point = (set.name.parse::<f64>()?.max(1.0), nanos.median.max(1.0));
                match lines.iter_mut().find(|(name, _)| *name == step.name) {
                    Some((_, line)) => line.push(point),
                    None => lines.push((&step.name, vec![point])),
                }
            }
        }
        let points = || lines.iter().flat_map(|(_, line)| line);
        let lowest = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(f64::MAX, f64::min);
        let highest = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(1.0, f64::max);
        let across = (lowest(|point| point.0)..highest(|point| point.0) * 1.2).log_scale();
        let up = (lowest(|point| point.1) / 2.0..highest(|point| point.1) * 2.0).log_scale();
        draw(SIZE, |area| {
            let mut chart = ChartBuilder::on(area)
                .margin(12)
                .x_label_area_size(40)
                .y_label_area_size(80)
                .build_cartesian_2d(across, up)?;
            let number = |value: &f64| format!("{value:.0}");
            chart
                .configure_mesh()
                .disable_mesh()
                .axis_style(GREY)
                .x_desc(&self.title)
                .y_desc("ns")
                .x_label_formatter(&number)
                .y_label_formatter(&number)
                .draw()?;
            for ((name, line), colour) in lines.iter().zip(COLOURS.iter().cycle()) {
                chart
                    .draw_series(LineSeries::new(line.iter().copied(), colour.stroke_width(2)))?
                    .label(*name)
                    .legend(move |(x, y)| Circle::new((x + 10, y), 4, colour.filled()));
                chart.draw_series(
                    line.iter().map(|point| Circle::new(*point, 3, colour.filled())),
                )?;
            }
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperLeft)
                .label_font(("sans-serif", 13))
                .draw()?;
            Ok(())
        })
    }
}
