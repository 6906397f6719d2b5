//! Lines of metrics in memory, a column a metric.

/// One metric.
#[derive(Debug, Clone, Default)]
pub(super) struct Column {
    pub(super) name: String,
    /// The rows that have it, if not all rows do.
    pub(super) rows: Option<Vec<u32>>,
    /// A value for each of those rows.
    pub(super) values: Vec<f64>,
}

impl Column {
    fn set(&mut self, row: usize, value: f64) {
        let full = self.values.len();
        let rows = match &mut self.rows {
            None if full == row => None,
            // Twice in one line: the last one counts, as in any reader of JSON.
            None if full > row => {
                self.values[row] = value;
                return;
            }
            // It was missing for the first time.
            rows => Some(rows.get_or_insert_with(|| (0..full as u32).collect())),
        };
        if let Some(rows) = rows {
            if rows.last() == Some(&(row as u32)) {
                self.values[full - 1] = value;
                return;
            }
            rows.push(row as u32);
        }
        self.values.push(value);
    }

    fn truncate(&mut self, rows: usize) {
        let mut keep = rows.min(self.values.len());
        if let Some(of) = &mut self.rows {
            keep = of.partition_point(|row| (*row as usize) < rows);
            of.truncate(keep);
        }
        self.values.truncate(keep);
    }
}

/// Where the lines before a table ended, which is all that the lines after it depend on.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Ending {
    /// The step of the last line.
    pub(super) step: Option<u64>,
    /// What the last line said of the time.
    pub(super) said: f64,
    /// Added to what lines say: the seconds of the processes that wrote earlier parts of the run.
    pub(super) earlier: f64,
}

/// Some lines of a run, one after another.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    pub(super) steps: Vec<u64>,
    pub(super) seconds: Vec<f64>,
    pub(super) columns: Vec<Column>,
    pub(super) ending: Ending,
    /// Where the next metric is expected: lines mostly have the same ones in the same order.
    next: usize,
}

impl Table {
    /// An empty table for the lines after others.
    pub(super) fn after(ending: Ending) -> Self {
        Table { ending, ..Table::default() }
    }

    /// Step and seconds of the first line.
    pub(super) fn first(&self) -> Option<(u64, f64)> {
        self.steps.first().copied().zip(self.seconds.first().copied())
    }

    /// Step and seconds of the last line, be it in this table or before.
    pub(super) fn last(&self) -> Option<(u64, f64)> {
        self.ending.step.map(|step| (step, self.ending.earlier + self.ending.said))
    }

    /// The column of this name, which is made if there is none; `None` if no metric can have that name.
    pub(super) fn column(&mut self, name: &[u8]) -> Option<usize> {
        let is = |column: &Column| column.name.as_bytes() == name;
        let at = match self.columns.get(self.next) {
            Some(column) if is(column) => self.next,
            _ => match self.columns.iter().position(is) {
                Some(at) => at,
                None => {
                    // The keys of a line itself, said twice in it, are no metrics.
                    let name = str::from_utf8(name).ok().filter(|name| !matches!(*name, "step" | "seconds"));
                    let name = name?.to_owned();
                    self.columns.push(Column { name, ..Column::default() });
                    self.columns.len() - 1
                }
            },
        };
        self.next = at + 1;
        Some(at)
    }

    /// Adds a line. One whose step is not after the line before takes the place of all from its step on: they were
    /// of a process that was killed, and its run was resumed from an earlier checkpoint. Returns whether it would take the
    /// place of lines that are not in this table.
    pub(super) fn add(&mut self, step: u64, said: f64, values: &[(usize, f64)]) -> bool {
        self.next = 0;
        let mut beyond = false;
        if self.ending.step.is_some_and(|last| last >= step) {
            let stay = self.steps.partition_point(|s| *s < step);
            beyond = stay == 0;
            self.steps.truncate(stay);
            self.seconds.truncate(stay);
            self.columns.iter_mut().for_each(|column| column.truncate(stay));
        }
        // A process that counts its seconds from its own start goes on where the one before it ended.
        let last = self.seconds.last().copied().unwrap_or(self.ending.earlier + self.ending.said);
        if self.ending.earlier + said < last {
            self.ending.earlier = last;
        }
        let row = self.steps.len();
        self.steps.push(step);
        self.seconds.push(self.ending.earlier + said);
        for (column, value) in values {
            self.columns[*column].set(row, *value);
        }
        self.ending.step = Some(step);
        self.ending.said = said;
        beyond
    }

    /// Adds the rows of another table, which come after these.
    pub(super) fn append(&mut self, other: Table) {
        let before = self.steps.len();
        for column in other.columns {
            let Some(at) = self.column(column.name.as_bytes()) else { continue };
            let to = &mut self.columns[at];
            match column.rows {
                None if to.values.len() == before => to.values.extend(column.values),
                None => {
                    let rows = before..before + column.values.len();
                    rows.zip(column.values).for_each(|(row, value)| to.set(row, value));
                }
                Some(rows) => {
                    let rows = rows.into_iter().map(|row| before + row as usize);
                    rows.zip(column.values).for_each(|(row, value)| to.set(row, value));
                }
            }
        }
        self.next = 0;
        self.steps.extend(other.steps);
        self.seconds.extend(other.seconds);
        self.ending = other.ending;
    }
}
