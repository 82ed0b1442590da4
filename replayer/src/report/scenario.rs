//! What a scenario came to, as text: the verdict first, then each criterion.

use std::fmt::Write as _;

use crate::scenario::report::ScenarioReport;

/// Ends in a line feed.
pub fn render(scenario: &ScenarioReport) -> String {
    let mut text = format!("scenario {}: {}\n", scenario.name, scenario.standing.name());
    for judged in &scenario.criteria {
        let _ = writeln!(text, "  {:<9}  {}", judged.standing.name(), judged.text);
    }
    if let Some(ended) = &scenario.ended {
        let level = scenario.unit.tell(ended.level);
        let _ = writeln!(
            text,
            "  ended by {} after {} s, at {level}: {}",
            ended.by.rule, ended.by.at_s, ended.by.reason
        );
    }
    let _ = scenario.rate.sentence().map(|sentence| writeln!(text, "  {sentence}"));
    text
}
