//! What the value of a path may be, as its schema says it; `[sweep]` included, whose values are those of other keys.
use super::key_path::KeyPath;
use super::schema::Schema;
use super::sweep::{PAIRED, VARIANTS};

/// What a value may be.
#[derive(Clone)]
pub(super) enum Wanted<'a> {
    /// Nothing is known of it.
    Anything,
    /// What the schema says.
    Value(Schema<'a>),
    /// A table of `[sweep]`, or a list in one: what this key of the whole spec may be, one after the other.
    Varied { whole: Schema<'a>, key: KeyPath },
    /// Tables of settings, each under a name.
    Variants(Schema<'a>),
}

impl<'a> Wanted<'a> {
    /// Of a table: the value of this key.
    pub(super) fn key(&self, name: &str) -> Wanted<'a> {
        match self {
            Wanted::Anything => Wanted::Anything,
            Wanted::Value(whole) if whole.is_whole_spec() && name == "sweep" => {
                Wanted::Varied { whole: *whole, key: KeyPath::default() }
            }
            Wanted::Value(schema) => schema.property(name).map_or(Wanted::Anything, Wanted::Value),
            Wanted::Varied { whole, key } if key.is_top() && name == VARIANTS => Wanted::Variants(*whole),
            Wanted::Varied { key, .. } if key.is_top() && name == PAIRED => self.clone(),
            Wanted::Varied { whole, key } => match KeyPath::parse(name) {
                Some(more) => Wanted::Varied { whole: *whole, key: key.join(&more) },
                None => Wanted::Anything,
            },
            Wanted::Variants(whole) => Wanted::Varied { whole: *whole, key: KeyPath::default() },
        }
    }

    /// Of a list: the item of this place.
    pub(super) fn index(&self, index: usize) -> Wanted<'a> {
        match self {
            Wanted::Value(schema) => schema.item(index).map_or(Wanted::Anything, Wanted::Value),
            // A list of tables, each with keys of its own.
            Wanted::Varied { key, .. } if key.is_top() => self.clone(),
            Wanted::Varied { .. } => self.schema().map_or(Wanted::Anything, Wanted::Value),
            Wanted::Anything | Wanted::Variants(_) => Wanted::Anything,
        }
    }

    /// The schema of the value, if it is known.
    pub(super) fn schema(&self) -> Option<Schema<'a>> {
        match self {
            Wanted::Value(schema) => Some(*schema),
            Wanted::Varied { whole, key } => key.keys().try_fold(*whole, |schema, key| schema.property(key)),
            Wanted::Anything | Wanted::Variants(_) => None,
        }
    }

    /// A key as the schema writes it, whatever its capitals.
    pub(super) fn as_written(&self, name: &str) -> String {
        let keys = self.schema().map(Schema::keys).unwrap_or_default();
        let same = |key: &&&str| key.eq_ignore_ascii_case(name);
        let exact = keys.contains(&name);
        keys.iter().find(same).filter(|_| !exact).map_or(name, |key| *key).to_owned()
    }
}
