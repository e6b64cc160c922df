//! Text in columns and under headings.

/// How a column is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Rows as aligned columns, two blanks apart, each line indented by `indent`.
/// Columns beyond those of `align` are set left.
pub(crate) fn columns(indent: usize, align: &[Align], rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = " ".repeat(indent);
        for (column, cell) in row.iter().enumerate() {
            let pad = " ".repeat(widths[column] - cell.chars().count());
            let (before, after) = match align.get(column).unwrap_or(&Align::Left) {
                Align::Left => ("", pad.as_str()),
                Align::Right => (pad.as_str(), ""),
            };
            let gap = if column == 0 { "" } else { "  " };
            line = line + gap + before + cell + after;
        }
        text = text + line.trim_end() + "\n";
    }
    text
}

/// A heading and a list under it; nothing if the list is empty.
pub(crate) fn list(heading: &str, items: &[String]) -> String {
    if items.is_empty() {
        return String::new();
    }
    let items: String = items.iter().map(|item| format!("  - {item}\n")).collect();
    format!("\n{heading}\n{items}")
}

/// A count with its noun: `1 change`, `2 changes`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |cells: &[&str]| cells.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>();
        let rows = [row(&["dataset", "rows", ""]), row(&["a", "1204", "x"]), row(&["größer", "7"])];
        let text = columns(2, &[Align::Left, Align::Right], &rows);
        assert_eq!(text, "  dataset  rows\n  a        1204  x\n  größer      7\n");
        assert_eq!(list("assumptions", &[]), "");
        assert_eq!(counted(1, "change"), "1 change");
    }
}
