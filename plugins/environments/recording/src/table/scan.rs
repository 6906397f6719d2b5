//! The first reading of tables: what is wrong with them, what their columns hold, how many rows they have.
use super::cell::{Cell, advice, cell};
use super::reader::{next, separator, summed_reader};
use crate::column::{Column, Values};
use crate::options::Options;
use crate::source::{Place, did_you_mean, in_files};
use efference_sdk::{Error, Result, Role, bail, tracing};
use std::collections::HashMap;
use std::path::Path;

/// The texts of a column, by place.
#[derive(Debug, Clone, Default)]
pub(super) struct Texts {
    places: HashMap<Vec<u8>, usize>,
    /// The first one, where it stands, if the spec does not say that the column is one of text.
    first: Option<String>,
}

impl Texts {
    /// The place of a text, if the column has it.
    pub(super) fn place(&self, text: &[u8]) -> Option<usize> {
        self.places.get(text.trim_ascii()).copied()
    }

    fn names(&self) -> Vec<String> {
        let mut names = vec![String::new(); self.places.len()];
        self.places
            .iter()
            .for_each(|(text, place)| names[*place] = String::from_utf8_lossy(text).into_owned());
        names
    }
}

/// What a column holds.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    Number,
    Texts(Texts),
}

/// A column that was chosen.
struct Chosen {
    name: String,
    role: Role,
    /// `None`: it has no value yet.
    kind: Option<Kind>,
}

/// What a file has come to.
pub(super) struct Scanned {
    /// The places of the chosen columns in its rows.
    pub(super) chosen: Vec<usize>,
    /// Values of a row.
    pub(super) width: usize,
    /// Where the first row is.
    pub(super) start: Place,
    pub(super) rows: u64,
    pub(super) checksum: u64,
    /// Whether it was read to its end.
    pub(super) whole: bool,
}

/// What several files have come to, which have the same columns.
pub(super) struct Scan<'a> {
    options: &'a Options,
    decimal: u8,
    columns: Vec<Chosen>,
    /// The file that said which columns there are.
    first: Option<String>,
    /// What is odd and no error.
    odd: Vec<String>,
}

impl<'a> Scan<'a> {
    pub(super) fn new(options: &'a Options) -> Scan<'a> {
        Scan {
            options,
            decimal: options.decimal.as_bytes()[0],
            columns: Vec::new(),
            first: None,
            odd: Vec::new(),
        }
    }

    /// What the columns hold, as far as was read.
    pub(super) fn kinds(&self) -> impl Iterator<Item = Kind> {
        self.columns.iter().map(|column| column.kind.clone().unwrap_or(Kind::Number))
    }

    /// The columns.
    pub(super) fn columns(&self) -> Vec<Column> {
        let column = |chosen: &Chosen| Column {
            name: chosen.name.clone(),
            width: 1,
            values: match &chosen.kind {
                Some(Kind::Texts(texts)) => Values::OneOf(texts.names()),
                _ => Values::Numbers,
            },
            role: chosen.role,
        };
        self.columns.iter().map(column).collect()
    }

    /// Says what is odd and no error.
    pub(super) fn warn(&self) {
        self.odd.iter().for_each(|odd| tracing::warn!("{odd}"));
        for column in &self.columns {
            match &column.kind {
                None => tracing::warn!("the column {:?} has no value in any row", column.name),
                Some(Kind::Texts(texts)) => {
                    let names = texts.names();
                    let more = if names.len() > 8 { ", …" } else { "" };
                    let shown = names[..names.len().min(8)].join(", ");
                    tracing::info!(
                        "the column {:?} is one of {} texts: {shown}{more}",
                        column.name,
                        names.len()
                    );
                }
                Some(Kind::Number) => {}
            }
        }
    }

    /// Reads a file, so many bytes of it at most.
    pub(super) fn file(&mut self, path: &Path, bytes: u64) -> Result<Scanned> {
        let mut reader = summed_reader(path, self.options, bytes)?;
        let shown = path.display().to_string();
        let mut record = csv::ByteRecord::new();
        if !next(&mut reader, &mut record, path)? {
            return Err(in_files(format!("{shown} is empty")));
        }
        if record.iter().any(|cell| cell.contains(&0)) {
            return Err(in_files(format!(
                "{shown} is no table of text: its first row has bytes that are 0. Set environment.format to what it is"
            )));
        }
        let width = record.len();
        let name = |i: usize, cell: &[u8]| match self.options.header {
            true => String::from_utf8_lossy(cell).trim().to_owned(),
            false => format!("#{}", i + 1),
        };
        let names: Vec<String> = record.iter().enumerate().map(|(i, cell)| name(i, cell)).collect();
        let (chosen, time) = self.choose(&names, &shown)?;
        let position = reader.position();
        let start = match self.options.header {
            true => Place { row: 0, byte: position.byte(), line: position.line() },
            false => Place { row: 0, byte: 0, line: 1 },
        };
        let mut there = true;
        if self.options.header {
            if names.iter().all(|name| matches!(cell(name.as_bytes(), self.decimal), Cell::Number(_))) {
                self.odd.push(format!(
                    "{shown}: all names of its header are numbers. If it is no header, set environment.header = false"
                ));
            }
            there = next(&mut reader, &mut record, path)?;
        }
        if there && width == 1 {
            self.refuse_other_separator(path, &names[0], &record)?;
        }
        let mut scanned = Scanned { chosen, width, start, rows: 0, checksum: 0, whole: true };
        let mut clock = Clock::default();
        while there {
            let line = record.position().map_or(0, csv::Position::line);
            if record.len() != width {
                // Where reading ends early, the last row is no whole one.
                if reader.get_ref().from.limit() > 0 {
                    return Err(ragged(&shown, line, record.len(), width, self.options.header));
                }
                break;
            }
            for (column, place) in self.columns.iter_mut().zip(&scanned.chosen) {
                column.take(&record[*place], (&shown, line), self.options, self.decimal)?;
            }
            if let Some(time) = time {
                let odd = clock.observe(&record[time], (&shown, line), self.decimal);
                self.odd.extend(odd);
            }
            scanned.rows += 1;
            there = next(&mut reader, &mut record, path)?;
        }
        let (from, limited) = (&reader.get_ref().from, bytes < u64::MAX);
        scanned.whole = !limited || from.limit() > 0;
        scanned.checksum = from.get_ref().checksum();
        if scanned.rows == 0 && scanned.whole {
            let what = if self.options.header { "a header and no rows" } else { "no rows" };
            return Err(in_files(format!("{shown} has {what}: there is nothing to observe")));
        }
        Ok(scanned)
    }

    /// The places of the chosen columns in a file with these names, and of the time.
    fn choose(&mut self, names: &[String], shown: &str) -> Result<(Vec<usize>, Option<usize>)> {
        let options = self.options;
        let find = |option: &str, said: &str| find(names, said, shown).map_err(|e| e.in_option(option));
        let time = match options.time.as_str() {
            "" => None,
            said => Some(find("time", said)?),
        };
        let places = match &options.columns[..] {
            [] => {
                let all: Vec<usize> = (0..names.len()).filter(|place| Some(*place) != time).collect();
                for (i, place) in all.iter().enumerate() {
                    if let Some(other) = all[..i].iter().find(|other| names[**other] == names[*place]) {
                        return Err(same_name(&names[*place], [*other, *place], shown).in_option("columns"));
                    }
                }
                all
            }
            said => said.iter().map(|said| find("columns", said)).collect::<Result<_>>()?,
        };
        if places.is_empty() {
            let message = format!("{shown} has no column but the time: there is nothing to observe");
            return Err(Error::msg(message).in_option("time"));
        }
        let mut roles = vec![Role::BOTH; places.len()];
        let mut texts = vec![false; places.len()];
        let lists = [
            ("seen_only", &options.seen_only),
            ("predicted_only", &options.predicted_only),
            ("text", &options.text),
        ];
        for (option, list) in lists {
            for said in list {
                let place = find(option, said)?;
                let Some(at) = places.iter().position(|p| *p == place) else {
                    let message =
                        format!("the column {said:?} is in {option}, and not among environment.columns");
                    return Err(Error::msg(message).in_option(option));
                };
                match option {
                    "seen_only" => roles[at] = Role::SEEN,
                    "predicted_only" => roles[at] = Role::PREDICTED,
                    _ => texts[at] = true,
                }
            }
        }
        let called = |place: usize| match names[place].is_empty() {
            true => format!("#{}", place + 1),
            false => names[place].clone(),
        };
        if let Some(first) = &self.first {
            let differs =
                self.columns.iter().zip(&places).find(|(column, place)| column.name != called(**place));
            if self.columns.len() != places.len() || differs.is_some() {
                let them = |names: Vec<String>| names.join(", ");
                return Err(in_files(format!(
                    "{shown} has other columns ({}) than {first} ({}): the streams of an environment observe the same. Set \
                     environment.columns to those that all files have",
                    them(places.iter().map(|place| called(*place)).collect()),
                    them(self.columns.iter().map(|column| column.name.clone()).collect())
                )));
            }
        } else {
            self.first = Some(shown.to_owned());
            let column = |((place, role), text): ((&usize, Role), bool)| Chosen {
                name: called(*place),
                role,
                kind: text.then(|| Kind::Texts(Texts::default())),
            };
            self.columns = places.iter().zip(roles).zip(texts).map(column).collect();
        }
        Ok((places, time))
    }

    /// A table of one column may have another separator than it should.
    fn refuse_other_separator(&self, path: &Path, name: &str, row: &csv::ByteRecord) -> Result<()> {
        let mine = separator(path, self.options)?;
        let mut candidates = [(b';', ";"), (b'\t', "\\t"), (b'|', "|"), (b',', ",")].into_iter();
        let fits = |candidate: u8| {
            let count = |bytes: &[u8]| bytes.iter().filter(|b| **b == candidate).count();
            let header = if self.options.header { count(name.as_bytes()) } else { count(&row[0]) };
            candidate != mine && header > 0 && row.len() == 1 && count(&row[0]) == header
        };
        let Some((_, written)) = candidates.find(|(candidate, _)| fits(*candidate)) else { return Ok(()) };
        let row = String::from_utf8_lossy(&row[0]);
        let message = format!(
            "{} has one column, with rows such as {:?}: its separator seems to be another one than {:?}. Set \
             environment.separator = \"{written}\"",
            path.display(),
            row.chars().take(60).collect::<String>(),
            mine as char
        );
        Err(Error::msg(message).in_option("separator"))
    }
}

impl Chosen {
    /// Takes in a value.
    fn take(
        &mut self,
        bytes: &[u8],
        (file, line): (&str, u64),
        options: &Options,
        decimal: u8,
    ) -> Result<()> {
        let found = cell(bytes, decimal);
        let name = &self.name;
        let written = || -> String { String::from_utf8_lossy(bytes).chars().take(40).collect() };
        if found == Cell::Missing {
            return Ok(());
        }
        let kind = self.kind.get_or_insert_with(|| match found {
            Cell::Text => Kind::Texts(Texts {
                first: Some(format!("{:?} in line {line}", written())),
                ..Texts::default()
            }),
            _ => Kind::Number,
        });
        match (kind, found) {
            (Kind::Number, Cell::Number(number)) if number.is_finite() => Ok(()),
            (Kind::Number, Cell::Number(_)) => Err(in_files(format!(
                "{file}, line {line}, column {name:?}: {:?} is no number that can be scaled: leave the value empty, which says \
                 that it is missing",
                written()
            ))),
            (Kind::Number, _) => Err(in_files(format!(
                "{file}, line {line}, column {name:?}: {:?} is no number, and the values above it are: {}",
                written(),
                advice(bytes, decimal)
            ))),
            (Kind::Texts(texts), _) => {
                let text = bytes.trim_ascii();
                if texts.places.contains_key(text) {
                    return Ok(());
                }
                if texts.places.len() == options.categories {
                    let most = options.categories;
                    let first = texts.first.as_ref().map_or_else(String::new, |first| {
                        format!(
                            " (it is taken for one of text since its first value is: {first}; {})",
                            advice(text, decimal)
                        )
                    });
                    let message = format!(
                        "{file}, line {line}, column {name:?}: {:?} is text number {} of the column, and it may have {most}, each \
                         of which takes an element{first}. Raise environment.categories, set environment.time = {name:?} if it \
                         says when a row was, or leave it out: environment.columns names those that are read",
                        written(),
                        most + 1
                    );
                    return Err(Error::msg(message).in_option("columns"));
                }
                texts.places.insert(text.to_vec(), texts.places.len());
                Ok(())
            }
        }
    }
}

/// The place of the column that is called so, or has that number.
fn find(names: &[String], said: &str, shown: &str) -> Result<usize> {
    let places: Vec<usize> = (0..names.len()).filter(|place| names[*place] == said.trim()).collect();
    match places[..] {
        [place] => return Ok(place),
        [one, other, ..] => return Err(same_name(said, [one, other], shown)),
        [] => {}
    }
    if let Some(number) = said.strip_prefix('#').and_then(|number| number.parse::<usize>().ok()) {
        match number.checked_sub(1).filter(|place| *place < names.len()) {
            Some(place) => return Ok(place),
            None => bail!("there is no column {said:?} in {shown}, which has {} columns", names.len()),
        }
    }
    let hint = did_you_mean(said, names.iter().map(String::as_str));
    let all: Vec<&str> = names.iter().take(20).map(String::as_str).collect();
    let more = if names.len() > all.len() { ", …" } else { "" };
    bail!("there is no column {said:?} in {shown}{hint}. Its columns are: {}{more}", all.join(", "))
}

fn same_name(name: &str, [one, other]: [usize; 2], shown: &str) -> Error {
    let [one, other] = [one + 1, other + 1];
    Error::msg(format!(
        "two columns of {shown} are called {name:?}: give them names of their own, or say in environment.columns which \
         are read, by their numbers: \"#{one}\" or \"#{other}\""
    ))
}

fn ragged(shown: &str, line: u64, values: usize, width: usize, header: bool) -> Error {
    let than = if header { "the header names" } else { "the first row has" };
    let s = if values == 1 { "" } else { "s" };
    let help = if values > width {
        "a value with a separator in it must stand in quotes, a decimal comma needs environment.decimal"
    } else {
        "mend the row, or take it out"
    };
    in_files(format!("{shown}, line {line}: the row has {values} value{s} where {than} {width}: {help}"))
}

/// Looks whether time goes on.
#[derive(Default)]
struct Clock {
    before: Option<f64>,
    reported: bool,
}

impl Clock {
    fn observe(&mut self, bytes: &[u8], (file, line): (&str, u64), decimal: u8) -> Option<String> {
        let Cell::Number(now) = cell(bytes, decimal) else { return None };
        let back = self.before.is_some_and(|before| now < before) && !self.reported;
        self.before = Some(now);
        self.reported |= back;
        back.then(|| {
            format!(
                "{file}, line {line}: the time goes back to {now}. Rows are taken in the file's order; this is reported once"
            )
        })
    }
}
