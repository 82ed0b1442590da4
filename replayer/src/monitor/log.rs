//! What one monitor has seen so far. Pure: instants are given, in seconds since the monitors began.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::look::{Blind, Look};
use super::timeline::{Event, EventKind, Point, Timeline};

/// Events of one monitor that are kept; the rest is counted.
const EVENTS_MAX: usize = 1_000;
/// Metrics of one monitor that are kept; the rest is counted.
const SERIES_MAX: usize = 200;

/// See the module.
#[derive(Debug)]
pub(super) struct Log {
    monitor: String,
    points_max: usize,
    series: BTreeMap<String, Vec<Point>>,
    events: Vec<Event>,
    /// Incidents that lasted at the last look, and which event tells of them; `None` where it was left out.
    open: HashMap<String, Option<usize>>,
    said: HashSet<String>,
    /// Since when it is blind.
    lost_s: Option<f64>,
    left_out: LeftOut,
}

#[derive(Debug, Default)]
struct LeftOut {
    events: u64,
    points: u64,
    series: HashSet<String>,
}

impl Log {
    /// With the metrics that are without a value even if the monitor never sees anything.
    pub(super) fn new(monitor: &str, metrics: &[String], points_max: usize) -> Self {
        let series = metrics.iter().map(|metric| (format!("{monitor}.{metric}"), Vec::new())).collect();
        Self {
            monitor: monitor.to_owned(),
            points_max,
            series,
            events: Vec::new(),
            open: HashMap::new(),
            said: HashSet::new(),
            lost_s: None,
            left_out: LeftOut::default(),
        }
    }

    pub(super) fn saw(&mut self, at_s: f64, look: Look) {
        if let Some(since_s) = self.lost_s.take() {
            self.tell(at_s, EventKind::Gap, format!("it can look again, after {:.0} s", at_s - since_s));
        }
        for (name, value) in look.values {
            self.point(format!("{}.{name}", self.monitor), Point { at_s, value });
        }
        let mut open = HashMap::new();
        for incident in look.incidents {
            let event = match self.open.remove(&incident.key) {
                Some(event) => {
                    if let Some(event) = event {
                        self.events[event].text = incident.text;
                    }
                    event
                }
                None => self.tell(at_s, incident.kind, incident.text),
            };
            open.insert(incident.key, event);
        }
        self.open = open;
        for note in look.notes {
            self.note(at_s, note);
        }
    }

    /// A look that came to nothing.
    pub(super) fn blind(&mut self, at_s: f64, why: &Blind) {
        let metrics: Vec<String> = self.series.keys().cloned().collect();
        for metric in metrics {
            self.point(metric, Point { at_s, value: None });
        }
        if self.lost_s.is_none() {
            self.tell(at_s, EventKind::Gap, format!("it cannot look: {why}"));
            self.lost_s = Some(at_s);
        }
    }

    /// Of each metric the last value; none where the monitor is blind for it.
    pub(super) fn latest(&self) -> impl Iterator<Item = (&str, f64)> {
        self.last().filter_map(|(metric, point)| Some((metric, point.value?)))
    }

    /// Of each metric the last look, whatever came of it.
    pub(super) fn last(&self) -> impl Iterator<Item = (&str, Point)> {
        self.series.iter().filter_map(|(metric, points)| Some((metric.as_str(), *points.last()?)))
    }

    pub(super) fn events(&self) -> &[Event] {
        &self.events
    }

    /// All of it, with 0 at `zero_s`.
    pub(super) fn add_to(&self, timeline: &mut Timeline, zero_s: f64) {
        for (metric, points) in self.series.iter().filter(|(_, points)| !points.is_empty()) {
            let points = points.iter().map(|point| Point { at_s: point.at_s - zero_s, ..*point });
            timeline.series.insert(metric.clone(), points.collect());
        }
        let events = self.events.iter().cloned().chain(self.left_out());
        timeline.events.extend(events.map(|event| Event { at_s: event.at_s - zero_s, ..event }));
    }

    fn point(&mut self, metric: String, point: Point) {
        if !self.series.contains_key(&metric) && self.series.len() >= SERIES_MAX {
            self.left_out.series.insert(metric);
            return;
        }
        let points = self.series.entry(metric).or_default();
        if points.len() < self.points_max {
            points.push(point);
        } else {
            self.left_out.points += 1;
        }
    }

    fn note(&mut self, at_s: f64, text: String) {
        if self.said.insert(text.clone()) {
            self.tell(at_s, EventKind::Note, text);
        }
    }

    fn tell(&mut self, at_s: f64, kind: EventKind, text: String) -> Option<usize> {
        if self.events.len() >= EVENTS_MAX {
            self.left_out.events += 1;
            return None;
        }
        self.events.push(Event { at_s, monitor: self.monitor.clone(), kind, text });
        Some(self.events.len() - 1)
    }

    fn left_out(&self) -> Option<Event> {
        let LeftOut { events, points, series } = &self.left_out;
        let parts = [(*events, "events"), (*points, "values"), (series.len() as u64, "metrics")];
        let parts: Vec<String> = parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        let at_s = self.series.values().filter_map(|points| points.last()).map(|point| point.at_s);
        let at_s = at_s.chain(self.events.last().map(|event| event.at_s)).fold(0.0, f64::max);
        (!parts.is_empty()).then(|| Event {
            at_s,
            monitor: self.monitor.clone(),
            kind: EventKind::Note,
            text: format!("more was seen than is kept: {} were left out", parts.join(", ")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::look::Incident;
    use super::*;

    fn look(value: f64) -> Look {
        Look { values: vec![("active".to_owned(), Some(value))], ..Look::default() }
    }

    fn waiting(key: &str, text: &str) -> Look {
        let incident = Incident { kind: EventKind::LockWait, key: key.to_owned(), text: text.to_owned() };
        Look { incidents: vec![incident], ..look(1.0) }
    }

    fn timeline(log: &Log, zero_s: f64) -> Timeline {
        let mut timeline = Timeline::default();
        log.add_to(&mut timeline, zero_s);
        timeline
    }

    fn told(log: &Log) -> Vec<(f64, EventKind, String)> {
        timeline(log, 0.0).events.into_iter().map(|event| (event.at_s, event.kind, event.text)).collect()
    }

    #[test]
    fn a_loss_is_one_event_and_the_return_another() {
        let mut log = Log::new("postgres", &["active".to_owned()], 100);
        log.saw(0.0, look(3.0));
        log.blind(5.0, &Blind("refused".to_owned()));
        log.blind(10.0, &Blind("reset".to_owned()));
        assert!(log.latest().next().is_none());
        log.saw(15.0, look(2.0));
        let points: Vec<Option<f64>> =
            timeline(&log, 0.0).series["postgres.active"].iter().map(|point| point.value).collect();
        assert_eq!(points, [Some(3.0), None, None, Some(2.0)]);
        let gap = |at_s, text: &str| (at_s, EventKind::Gap, text.to_owned());
        assert_eq!(
            told(&log),
            [gap(5.0, "it cannot look: refused"), gap(15.0, "it can look again, after 10 s")]
        );
        assert_eq!(log.latest().collect::<Vec<_>>(), [("postgres.active", 2.0)]);
    }

    #[test]
    fn a_monitor_that_never_saw_anything_has_points_without_values() {
        let mut log = Log::new("postgres", &["active".to_owned()], 100);
        log.blind(1.0, &Blind("refused".to_owned()));
        assert_eq!(timeline(&log, 1.0).series["postgres.active"], [Point { at_s: 0.0, value: None }]);
    }

    #[test]
    fn what_lasts_is_told_once_in_its_latest_words() {
        let mut log = Log::new("postgres", &[], 100);
        log.saw(0.0, waiting("7", "for 1 s"));
        log.saw(5.0, waiting("7", "for 6 s"));
        log.saw(10.0, look(1.0));
        log.saw(15.0, waiting("7", "for 2 s"));
        let wait = |at_s, text: &str| (at_s, EventKind::LockWait, text.to_owned());
        assert_eq!(told(&log), [wait(0.0, "for 6 s"), wait(15.0, "for 2 s")]);
    }

    #[test]
    fn a_note_is_said_once() {
        let mut log = Log::new("postgres", &[], 100);
        for at_s in [0.0, 5.0] {
            log.saw(at_s, Look { notes: vec!["no statistics".to_owned()], ..Look::default() });
        }
        assert_eq!(told(&log).len(), 1);
    }

    #[test]
    fn what_is_too_much_is_counted() {
        let mut log = Log::new("m", &[], 2);
        for look in 0..EVENTS_MAX + 5 {
            log.saw(look as f64, waiting(&look.to_string(), "w"));
        }
        let values = (0..=SERIES_MAX).map(|number| (number.to_string(), Some(0.0))).collect();
        log.saw(0.0, Look { values, ..Look::default() });
        let timeline = timeline(&log, 0.0);
        assert_eq!((timeline.series.len(), timeline.series["m.active"].len()), (SERIES_MAX, 2));
        assert_eq!(timeline.events.len(), EVENTS_MAX + 1);
        let last = &timeline.events.last().unwrap().text;
        assert_eq!(last, "more was seen than is kept: 5 events, 1003 values, 2 metrics were left out");
    }
}
