//! Aligned tables for the terminal: plain text, no box drawing, so that they paste well.

/// Where a column's text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// A table with a title per column.
#[derive(Debug, Clone)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

const GAP: &str = "  ";

impl Table {
    /// The first column is left-aligned text, all others are numbers to the right.
    pub fn of_numbers<'a>(titles: impl IntoIterator<Item = &'a str>) -> Self {
        let align = |at| if at == 0 { Align::Left } else { Align::Right };
        let columns = titles.into_iter().enumerate().map(|(at, title)| (title.to_owned(), align(at)));
        Self { columns: columns.collect(), rows: Vec::new() }
    }

    /// Sets the alignment of one column.
    #[must_use]
    pub fn align(mut self, column: usize, align: Align) -> Self {
        self.columns[column].1 = align;
        self
    }

    /// Adds a row; missing cells are empty, cells beyond the last column are dropped.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().take(self.columns.len()).collect());
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as lines, each indented by `indent` spaces.
    pub fn render(&self, indent: usize) -> String {
        let titles: Vec<String> = self.columns.iter().map(|(title, _)| title.clone()).collect();
        let lines = std::iter::once(&titles).chain(&self.rows);
        lines.map(|cells| self.line(cells, indent)).collect()
    }

    fn line(&self, cells: &[String], indent: usize) -> String {
        let padded: Vec<String> = cells.iter().enumerate().map(|(at, cell)| self.pad(at, cell)).collect();
        let line = format!("{:indent$}{}", "", padded.join(GAP));
        format!("{}\n", line.trim_end())
    }

    fn pad(&self, column: usize, cell: &str) -> String {
        let width = self.width(column);
        match self.columns[column].1 {
            Align::Left => format!("{cell:<width$}"),
            Align::Right => format!("{cell:>width$}"),
        }
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        let title = &self.columns[column].0;
        cells.chain(std::iter::once(title)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_also_with_gaps_and_dashes() {
        let mut table = Table::of_numbers(["run", "sent", "p95"]);
        table.row(["1×", "1\u{202f}204", "4.2 s"].map(str::to_owned));
        table.row(["10×", "–", "–"].map(str::to_owned));
        assert_eq!(table.render(2), "  run   sent    p95\n  1×   1\u{202f}204  4.2 s\n  10×      –      –\n");
    }
}
