//! What a recording consists of: columns, whose values come row by row, and the elements of an observation that they become.
use efference_sdk::Role;

/// What the values of a column are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Values {
    /// Numbers whose range nobody knows beforehand.
    Numbers,
    /// Numbers in this range, in the data's own units.
    Within(f64, f64),
    /// One of these, by its place; each takes an element.
    OneOf(Vec<String>),
}

/// A column, or a block of columns of the same kind, such as the pixels of a picture.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Column {
    /// What it is called.
    pub(crate) name: String,
    /// How many values it has in a row.
    pub(crate) width: usize,
    /// What they are.
    pub(crate) values: Values,
    /// What it is for.
    pub(crate) role: Role,
}

impl Column {
    /// Columns that are both seen and predicted.
    pub(crate) fn block(name: &str, width: usize, values: Values) -> Column {
        Column { name: name.to_owned(), width, values, role: Role::BOTH }
    }
}

/// What an element of an observation shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shows {
    /// A number, scaled.
    Value,
    /// How far a number is from its last value, scaled.
    Change,
    /// Whether a value is this choice: 1, else −1.
    OneOf(u32),
}

/// An element of an observation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element {
    /// The place of its value in a row.
    pub(crate) value: usize,
    pub(crate) shows: Shows,
    pub(crate) role: Role,
}

/// The values of a row, and the elements that they become.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) elements: Vec<Element>,
    /// For each value of a row, its range if it is known.
    pub(crate) ranges: Vec<Option<(f64, f64)>>,
    /// Numbers that are predicted: the value, and the element that predicts it.
    pub(crate) numbers: Vec<(usize, usize)>,
    /// Choices that are predicted: the value, and the elements of its choices.
    pub(crate) choices: Vec<(usize, std::ops::Range<usize>)>,
}

impl Layout {
    /// With `change`, numbers are predicted as changes.
    pub(crate) fn new(columns: &[Column], change: bool) -> Layout {
        let mut layout =
            Layout { elements: Vec::new(), ranges: Vec::new(), numbers: Vec::new(), choices: Vec::new() };
        for column in columns {
            for _ in 0..column.width {
                layout.add(column, change);
            }
        }
        layout
    }

    fn add(&mut self, column: &Column, change: bool) {
        let (value, role, first) = (self.ranges.len(), column.role, self.elements.len());
        self.ranges.push(match column.values {
            Values::Within(min, max) => Some((min, max)),
            _ => None,
        });
        let mut element = |shows, role| self.elements.push(Element { value, shows, role });
        if let Values::OneOf(choices) = &column.values {
            (0..choices.len()).for_each(|choice| element(Shows::OneOf(choice as u32), role));
            if role != Role::SEEN {
                self.choices.push((value, first..first + choices.len()));
            }
            return;
        }
        if role == Role::SEEN || !change {
            element(Shows::Value, role);
        } else {
            if role == Role::BOTH {
                element(Shows::Value, Role::SEEN);
            }
            element(Shows::Change, role);
        }
        if role != Role::SEEN {
            self.numbers.push((value, self.elements.len() - 1));
        }
    }

    /// How many values a row has.
    pub(crate) fn width(&self) -> usize {
        self.ranges.len()
    }

    /// What the elements are for; empty: all are seen and predicted.
    pub(crate) fn roles(&self) -> Vec<Role> {
        if self.elements.iter().all(|element| element.role == Role::BOTH) {
            return Vec::new();
        }
        self.elements.iter().map(|element| element.role).collect()
    }
}
