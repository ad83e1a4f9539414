use std::fmt::{self, Write as _};

use palisade_core::{Outcome, Step, syntax::HtmlText};
use palisade_observe::RequestReport;

use crate::json::micros;

const STYLE: &str = include_str!("page.css");

/// Renders the page: a table with a timeline in each row, without scripts and external resources.
pub(crate) fn render(reports: &[RequestReport]) -> String {
    let mut page = String::with_capacity(2048 + reports.len() * 1024);
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Palisade: the last requests</title>\
         <style>{STYLE}</style></head><body><h1>The last {} requests</h1>\
         <table id=\"requests\"><thead><tr><th>at (UTC)</th><th>request</th><th>answer</th><th>client</th><th>time</th>\
         <th>bytes in / out</th><th>policies</th></tr></thead><tbody>",
        reports.len()
    );
    for report in reports {
        let _ = write!(page, "{}", Row(report));
    }
    page.push_str("</tbody></table></body></html>\n");
    page
}

struct Row<'a>(&'a RequestReport);

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.0;
        let seconds = report.ended_at.as_secs() % 86_400;
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        let id = HtmlText(report.request_id.as_str());
        write!(
            f,
            "<tr id=\"{id}\"><td>{hours:02}:{minutes:02}:{:02}.{:03}</td>",
            seconds % 60,
            report.ended_at.subsec_millis()
        )?;
        let path = report.path.as_deref().or(report.route.as_deref()).unwrap_or("—");
        write!(f, "<td><b>{}</b> {}", HtmlText(&report.method), HtmlText(path))?;
        if let Some(route) = &report.route {
            write!(f, "<br><small>{}</small>", HtmlText(route))?;
        }
        write!(
            f,
            "<br><small><a href=\"?id={id}\">{id}</a> · trace {}</small></td>",
            HtmlText(&report.trace_id.to_string())
        )?;
        match report.status.map(|status| status.as_u16()) {
            Some(status) => write!(f, "<td class=\"s{}\">{status}", status / 100)?,
            None => f.write_str("<td class=\"s5\">—")?,
        }
        for more in [&report.code, &report.grpc_status].into_iter().flatten() {
            write!(f, " {}", HtmlText(more))?;
        }
        write!(f, "<br><small>{}</small></td>", report.end.name())?;
        let client = report.client.map_or("—".to_owned(), |client| client.to_string());
        let principal = report.principal.as_deref().unwrap_or("anonymous");
        write!(f, "<td>{}<br><small>{}</small></td>", HtmlText(&client), HtmlText(principal))?;
        write!(
            f,
            "<td class=\"n\">{}<br><small>head {}</small></td>",
            Micros(report.duration),
            Head(report)
        )?;
        write!(f, "<td class=\"n\">{} / {}</td>", report.bytes_in, report.bytes_out)?;
        write!(f, "<td>{}</td></tr>", Timeline(&report.steps))
    }
}

struct Head<'a>(&'a RequestReport);

impl fmt::Display for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.first_byte {
            Some(after) => Micros(after).fmt(f),
            None => f.write_str("—"),
        }
    }
}

struct Micros(std::time::Duration);

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match micros(self.0) {
            micros @ ..1000 => write!(f, "{micros} µs"),
            micros => write!(f, "{}.{:01} ms", micros / 1000, micros % 1000 / 100),
        }
    }
}

/// The timeline of the policies, with a bar for each decision. The scale excludes the handler, whose time would hide the
/// decisions.
struct Timeline<'a>(&'a [Step]);

impl fmt::Display for Timeline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let end = |step: &Step| nanos(step.after()).saturating_add(nanos(step.took()));
        let whole = self.0.iter().map(end).max().unwrap_or(0).max(1);
        // In thousandths, so that the style contains digits only.
        let share = |part: u64| u128::from(part) * 1000 / u128::from(whole);
        f.write_str("<ol class=\"timeline\">")?;
        for step in self.0 {
            let (left, width) = (share(nanos(step.after())), share(nanos(step.took())).max(5));
            let outcome = step.outcome();
            let class = match outcome {
                Outcome::Refused { .. } | Outcome::CouldNotTell { .. } if step.is_shadow() => {
                    "shadow"
                }
                Outcome::Refused { .. } => "refused",
                Outcome::CouldNotTell { .. } => "unknown",
                _ => "granted",
            };
            write!(
                f,
                "<li class=\"{class}\"><span>{}</span><i style=\"margin-left:{}.{}%;width:{}.{}%\"></i></li>",
                HtmlText(&format!("{step} · {}", Micros(step.took()))),
                left / 10,
                left % 10,
                width / 10,
                width % 10,
            )?;
        }
        f.write_str("</ol>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_without_requests_is_valid_html() {
        let page = render(&[]);
        assert!(page.contains("The last 0 requests") && page.ends_with("</html>\n"));
        assert!(
            !page.contains("<script") && !page.contains("http://") && !page.contains("https://")
        );
    }
}
