//! Columns of text: as wide as what stands in them, and no wider than the terminal.

use super::output;
use crate::present::safe;

/// Longest cell where there is room for it: a name of someone else's has no bound.
const LONGEST: usize = 200;
/// A cell that is cut for want of room keeps so many letters.
const SHORTEST: usize = 12;

pub struct Column {
    pub head: &'static str,
    /// Whether its cells may be cut where the terminal is narrow.
    pub may_be_cut: bool,
}

/// A column whose cells stay whole.
pub const fn whole(head: &'static str) -> Column {
    Column {
        head,
        may_be_cut: false,
    }
}

/// A column of names, which may be cut.
pub const fn names(head: &'static str) -> Column {
    Column { head, may_be_cut: true }
}

/// Prints rows below their heads, `indent` columns from the left. In a pipe nothing is cut; in a terminal names are, and
/// where that isn't enough a row takes several lines.
pub fn print(indent: usize, columns: &[Column], rows: &[Vec<String>]) {
    lines(indent, columns, rows, output::width())
        .iter()
        .for_each(|line| output::line(line));
}

fn lines(indent: usize, columns: &[Column], rows: &[Vec<String>], room: Option<usize>) -> Vec<String> {
    let heads: Vec<String> = columns.iter().map(|column| column.head.to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(heads)
        .chain(
            rows.iter()
                .map(|row| row.iter().map(|text| safe::cut(text, LONGEST)).collect()),
        )
        .collect();
    let widest = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or_default();
    let mut widths: Vec<usize> = (0..columns.len()).map(widest).collect();
    if let Some(room) = room {
        shrink(&mut widths, columns, room.saturating_sub(indent));
    }
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(text, width)| format!("{:<width$}", safe::cut(text, *width)))
            .collect();
        format!("{}{}", " ".repeat(indent), cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// Takes from the widest column that may be cut until all fit, or none has more to give.
fn shrink(widths: &mut [usize], columns: &[Column], room: usize) {
    loop {
        let total: usize = widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
        let widest = (0..widths.len())
            .filter(|at| columns[*at].may_be_cut && widths[*at] > SHORTEST)
            .max_by_key(|at| widths[*at]);
        match widest {
            Some(at) if total > room => widths[at] -= 1,
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_whole_where_there_is_room_and_cut_where_there_is_none() {
        let columns = [whole("ID"), names("NAME"), whole("PHASE")];
        let name = "dev:tap-with-a-long-name-to-target-with-a-long-name";
        let rows = [vec!["1".to_owned(), name.to_owned(), "starting".to_owned()]];
        let wide = lines(2, &columns, &rows, None);
        assert_eq!(wide[1], format!("  1   {name}  starting"));
        assert_eq!(wide[0].find("PHASE"), wide[1].find("starting"));
        let narrow = lines(2, &columns, &rows, Some(40));
        assert_eq!(narrow[1], "  1   dev:tap-with-a-long-nam…  starting");
        assert!(narrow.iter().all(|line| line.chars().count() <= 40), "{narrow:?}");
        // Less than the shortest name: the terminal's line is broken by `output`.
        assert_eq!(lines(0, &columns, &rows, Some(10))[1], "1   dev:tap-wit…  starting");
        assert_eq!(lines(0, &columns, &[], None), ["ID  NAME  PHASE"]);
    }
}
