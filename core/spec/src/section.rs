//! The sections of a spec that choose a plugin.
use super::registry::default_plugin;
use super::schema::NONE;
use efference_abi::Kind;
use serde_json::Value;

/// A section that chooses a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// That of a kind of plugins, which every spec has; it has the kind's name.
    Of(Kind),
    /// `[bonus]`: a goal plugin that adds to the reward, for exploration. A spec may go without.
    Bonus,
}

impl Section {
    /// All of them, in the order in which a spec is best read.
    pub const ALL: [Section; 6] = [
        Section::Of(Kind::Environment),
        Section::Of(Kind::Layer),
        Section::Of(Kind::Cell),
        Section::Of(Kind::Trainer),
        Section::Of(Kind::Goal),
        Section::Bonus,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Section::Of(kind) => kind.name(),
            Section::Bonus => "bonus",
        }
    }

    /// Which plugins it chooses from.
    pub fn kind(self) -> Kind {
        match self {
            Section::Of(kind) => kind,
            Section::Bonus => Kind::Goal,
        }
    }

    /// The section of this name.
    pub fn of_name(name: &str) -> Option<Section> {
        Section::ALL.into_iter().find(|section| section.name() == name)
    }

    /// Whether a spec may go without a plugin here.
    pub(super) fn is_optional(self) -> bool {
        self == Section::Bonus
    }

    /// The plugin that is taken if the spec names none.
    pub(super) fn default_plugin(self) -> Option<&'static str> {
        match self {
            Section::Of(kind) => default_plugin(kind),
            Section::Bonus => None,
        }
    }

    /// Whether a spec goes without a plugin here: it does not have the section, or says `plugin = "none"` in it.
    pub(super) fn is_left_out(self, tree: &Value) -> bool {
        let said = tree.get(self.name()).filter(|said| !said.is_null());
        self.is_optional() && said.is_none_or(|said| said.get("plugin").is_some_and(|name| name == NONE))
    }
}

impl From<Kind> for Section {
    fn from(kind: Kind) -> Self {
        Section::Of(kind)
    }
}
