//! The configuration file that is printed: a watch for each finding, and around it, as comments, why and what is left to decide.

use super::{Finding, Findings, toml};
use crate::{
    config::Written,
    present::{safe, words},
    store::inventory::Inventory,
};
use std::collections::BTreeSet;

/// Letters of a line of comments.
const WIDTH: usize = 118;
/// Letters of a watch's name: it is a label of every metric.
const LONGEST_NAME: usize = 64;

/// One database, as it is printed.
#[derive(Clone, Debug)]
pub struct Page<'a> {
    /// The database for people, without secrets.
    pub shown: &'a str,
    /// How the file names it.
    pub written: &'a Written,
    /// What it holds.
    pub inventory: &'a Inventory,
    /// What was found in it.
    pub findings: &'a Findings,
}

/// The file. `taken` are the names of the watches that are in it already, from other databases.
pub fn page(page: &Page<'_>, taken: &mut BTreeSet<String>) -> String {
    let Page {
        inventory, findings, ..
    } = page;
    let mut text = String::new();
    comment(&mut text, &format!("beatwarden discover: {}", page.shown));
    comment(&mut text, &head(page));
    for note in &findings.notes {
        comment(&mut text, note);
    }
    let live = live(findings);
    for (place, finding) in findings.found.iter().enumerate() {
        text.push('\n');
        reasons(&mut text, inventory, finding);
        if finding.lines.is_empty() {
            continue;
        }
        let is_live = live.contains(&place);
        if !is_live {
            comment(&mut text, aside(findings));
        }
        let name = name_of(finding, taken);
        for line in watch(finding, &name, page.written) {
            let mark = if is_live || line.is_empty() { "" } else { "# " };
            text.push_str(&format!("{mark}{line}\n"));
        }
    }
    if findings.left_out > 0 {
        text.push('\n');
        let more = words::number(findings.left_out as u64);
        let more = format!("{more} more of them, which look less like a table of jobs, are not shown.");
        comment(&mut text, &more);
    }
    misses(&mut text, findings);
    text
}

/// The tables that resemble one of jobs and are not proposed.
fn misses(text: &mut String, findings: &Findings) {
    if findings.misses.is_empty() {
        return;
    }
    text.push('\n');
    comment(
        text,
        "Not proposed, though their names resemble a table of jobs; docs/mapping.md has an example of each way out:",
    );
    for miss in &findings.misses {
        comment(text, &format!("- {miss}"));
    }
    if findings.misses_left_out > 0 {
        comment(
            text,
            &format!("- and {} more", words::number(findings.misses_left_out as u64)),
        );
    }
}

/// The findings that are in force in the file: the known systems, else the tables that need no decision, else the likeliest one.
fn live(findings: &Findings) -> BTreeSet<usize> {
    let all = || {
        findings
            .found
            .iter()
            .enumerate()
            .filter(|(_, finding)| !finding.lines.is_empty())
    };
    let places = |wanted: fn(&Finding) -> bool| -> BTreeSet<usize> {
        all()
            .filter(|(_, finding)| wanted(finding))
            .map(|(place, _)| place)
            .collect()
    };
    let known = places(|finding| finding.is_known);
    let complete = places(|finding| !finding.is_open);
    match () {
        () if !known.is_empty() => known,
        () if !complete.is_empty() => complete,
        () => all().map(|(place, _)| place).take(1).collect(),
    }
}

/// Why a finding is a comment.
fn aside(findings: &Findings) -> &'static str {
    match findings.found.iter().any(|finding| finding.is_known) {
        true => "Take the # off these lines to watch it as well.",
        false => "Decide what is open, and take the # off these lines to watch it as well.",
    }
}

fn head(page: &Page<'_>) -> String {
    let findings = page.findings;
    let (known, like): (Vec<&Finding>, Vec<&Finding>) = findings.found.iter().partition(|finding| finding.is_known);
    let like = like.len() + findings.left_out;
    let tables = words::counted(page.inventory.tables.len() as u64, "table", "tables");
    let parts = [
        (known.len(), "of a system that has a preset".to_owned()),
        (
            like,
            format!("that {} like a table of jobs", if like == 1 { "looks" } else { "look" }),
        ),
        (
            findings.others,
            format!("other{}", if findings.others == 1 { "" } else { "s" }),
        ),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", words::number(count as u64)))
        .collect();
    let found = match () {
        () if page.inventory.tables.is_empty() => {
            "The database holds no table, or none that this role can see.".to_owned()
        }
        () if findings.found.is_empty() => format!("{tables}, none of which looks like a table of jobs."),
        () => format!("{tables}: {}.", parts.join(", ")),
    };
    let cut = match findings.is_cut {
        true => " There are more, which were not read.",
        false => "",
    };
    format!("{found}{cut}")
}

/// What it is, why, and what a pass costs.
fn reasons(text: &mut String, inventory: &Inventory, finding: &Finding) {
    comment(text, &format!("{}.", finding.title));
    for reason in finding.reasons.iter().cloned().chain(cost(inventory, finding)) {
        comment(text, &format!("- {reason}"));
    }
}

/// What a pass costs, as a clause.
fn cost(inventory: &Inventory, finding: &Finding) -> Option<String> {
    let (state, _) = finding.running.as_ref()?;
    let table = &inventory.tables[finding.table];
    let rows = match table.rows {
        Some(rows) => format!("it has about {}", words::counted(rows, "row", "rows")),
        None => "how many rows it has is not known without counting".to_owned(),
    };
    let is_led = table.column(state).is_some_and(|column| column.leads_index);
    Some(match finding.cost.as_ref()? {
        Err(why) => format!(
            "{rows}; how a pass finds the running ones was not asked: {}",
            safe::cut(why, 200)
        ),
        Ok(cost) => match &cost.index {
            Some(index) => format!("{rows}; a pass finds the running ones by the index `{index}`"),
            None if is_led => format!(
                "{rows}; a pass reads all of them, although an index begins with `{state}`: as long as that is cheaper"
            ),
            None => format!(
                "{rows}; a pass reads all of them, because no index begins with `{state}`: `beatwarden check` measures it, and prints the index"
            ),
        },
    })
}

/// The lines of a watch.
fn watch(finding: &Finding, name: &str, written: &Written) -> Vec<String> {
    let mut lines = vec!["[[watch]]".to_owned(), format!("name = {}", toml::text(name))];
    if written.lacks_secrets {
        lines.push("# The password, or what may hold one, is left out: set PGPASSWORD (and PGOPTIONS), keep it in ~/.pgpass, or put the whole URL".to_owned());
        lines.push("# into a file and name that in database_file.".to_owned());
    }
    lines.push(format!("{} = {}", written.key, toml::text(&written.value)));
    lines.extend(finding.lines.watch.iter().cloned());
    for (section, more) in [("table", &finding.lines.table), ("repair", &finding.lines.repair)] {
        if !more.is_empty() {
            lines.push(String::new());
            lines.push(format!("[watch.{section}]"));
            lines.extend(more.iter().cloned());
        }
    }
    lines
}

/// A name that no other watch of the file has.
fn name_of(finding: &Finding, taken: &mut BTreeSet<String>) -> String {
    let cut = |text: &str, longest: usize| text.chars().take(longest).collect::<String>();
    let plain = safe::line(&finding.name);
    let mut name = cut(&plain, LONGEST_NAME);
    let mut number = 2;
    while !taken.insert(name.clone()) {
        name = format!("{}-{number}", cut(&plain, LONGEST_NAME - 5));
        number += 1;
    }
    name
}

/// Adds a comment, broken between words; what stands behind a dash is indented.
fn comment(text: &mut String, sentence: &str) {
    let sentence = safe::line(sentence);
    let indent = if sentence.starts_with("- ") { "  " } else { "" };
    let mut line = String::from("#");
    for word in sentence.split(' ').filter(|word| !word.is_empty()) {
        if line.chars().count() + 1 + word.chars().count() > WIDTH && line.len() > 1 + indent.len() {
            text.push_str(&line);
            text.push('\n');
            line = format!("#{indent}");
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_stays_one_whatever_is_in_it() {
        let mut text = String::new();
        comment(&mut text, &format!("- a\nb = 1 {}", "word ".repeat(60)));
        assert!(text.lines().count() > 2);
        assert!(
            text.lines()
                .all(|line| line.starts_with("# ") || line.starts_with("#   ")),
            "{text}"
        );
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH));
    }
}
