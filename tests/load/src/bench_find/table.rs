//! The table: a row a set and pair of languages, a column a mode.

use crate::ask::{LIMIT, Mode};

/// Places up to which the right note is counted.
const WITHIN: [usize; 3] = [1, 3, LIMIT];

#[derive(Debug)]
struct Row {
    name: String,
    asked: usize,
    /// By mode, by [`WITHIN`].
    found: [[usize; WITHIN.len()]; Mode::ALL.len()],
}

/// Where the right notes came.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Row>,
    printed: usize,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self { rows: Vec::new(), printed: 0 }
    }

    pub(crate) fn heading() -> String {
        let modes = Mode::ALL.map(|mode| format!("{mode:<14}")).concat();
        format!("{:<14}  {:>3}   {modes}", "set", "of")
    }

    /// Counts a question in each of `groups`: its note was at `place`, the first being 0.
    pub(crate) fn count(&mut self, groups: Vec<String>, mode: Mode, place: Option<usize>) {
        for group in groups {
            let known = self.rows.iter().position(|row| row.name == group);
            let index = known.unwrap_or_else(|| {
                let found = [[0; WITHIN.len()]; Mode::ALL.len()];
                self.rows.push(Row { name: group, asked: 0, found });
                self.rows.len() - 1
            });
            let row = &mut self.rows[index];
            row.asked += usize::from(mode == Mode::Default);
            let of_mode = &mut row.found[mode as usize];
            for (found, within) in of_mode.iter_mut().zip(WITHIN) {
                *found += usize::from(place.is_some_and(|place| place < within));
            }
        }
    }

    /// Prints the rows that were added since.
    pub(crate) fn print_new(&mut self) {
        for Row { name, asked, found } in &self.rows[self.printed..] {
            let cells =
                found.map(|[first, three, ten]| format!("{first:>3} {three:>3} {ten:>3}   "));
            println!("{name:<14}  {asked:>3}   {}", cells.concat().trim_end());
        }
        self.printed = self.rows.len();
    }
}
