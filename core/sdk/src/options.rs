//! Options of plugins: declared once, checked, shown and documented from that one declaration.
use crate::{Error, JsonSchema, Result};
use serde::de::DeserializeOwned;

/// What a plugin's options must be; [`options!`](crate::options!) makes such a struct.
pub trait Options: DeserializeOwned + JsonSchema {}
impl<O: DeserializeOwned + JsonSchema> Options for O {}

/// Declares options: each with its doc (one line: what it does, in which unit), type and default. A range is
/// said by `#[schemars(range(min = …, max = …))]`, and is checked by the host before the plugin sees it.
///
/// ```
/// efference_sdk::options! {
///     /// How the weights are shared.
///     pub enum Sharing {
///         /// Along one axis.
///         Axis,
///         /// Not at all.
///         None,
///     }
/// }
/// efference_sdk::options! {
///     /// Options of `ldl`.
///     pub struct Options {
///         /// Numbers mixed at once.
///         #[schemars(range(min = 2, max = 65_536))]
///         pub radix: i64 = 16,
///         /// How the weights are shared.
///         pub sharing: Sharing = Sharing::Axis,
///     }
/// }
/// assert_eq!(Options::default().radix, 16);
/// ```
///
/// In a spec the enum's values are in snake case: `"axis"`, `"none"`.
///
/// An enum `by` a key is a table that takes one of several forms, each with options of its own; the key says which:
/// `kind = "viewport"`. Lists of such tables are written `[[environment.sees]]`.
///
/// ```
/// efference_sdk::options! {
///     /// The whole window.
///     pub struct Viewport {
///         /// Pixels averaged to one.
///         pub shrink: usize = 8,
///     }
/// }
/// efference_sdk::options! {
///     /// A part of what is observed.
///     pub enum See by "kind" {
///         /// The whole window.
///         Viewport(Viewport),
///     }
/// }
/// let see: See = efference_sdk::options::read(r#"{ "kind": "viewport" }"#)?;
/// assert!(matches!(see, See::Viewport(Viewport { shrink: 8 })));
/// # Ok::<(), efference_sdk::Error>(())
/// ```
#[macro_export]
macro_rules! options {
    ($(#[$meta:meta])* $vis:vis struct $name:ident {
        $($(#[$field_meta:meta])* $field_vis:vis $field:ident : $type:ty $(= $default:expr)?),* $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, $crate::serde::Deserialize, $crate::serde::Serialize, $crate::JsonSchema)]
        #[serde(crate = "efference_sdk::serde", deny_unknown_fields, default)]
        #[schemars(crate = "efference_sdk::schemars")]
        $vis struct $name {
            $($(#[$field_meta])* $field_vis $field: $type),*
        }
        impl Default for $name {
            fn default() -> Self {
                $name { $($field: $crate::option_default!($field: $type = $($default)?)),* }
            }
        }
    };
    ($(#[$meta:meta])* $vis:vis enum $name:ident {
        $($(#[$variant_meta:meta])* $variant:ident),+ $(,)?
    }) => {
        $(#[$meta])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq,
            $crate::serde::Deserialize, $crate::serde::Serialize, $crate::JsonSchema
        )]
        #[serde(crate = "efference_sdk::serde", rename_all = "snake_case")]
        #[schemars(crate = "efference_sdk::schemars")]
        $vis enum $name {
            $($(#[$variant_meta])* $variant),+
        }
    };
    ($(#[$meta:meta])* $vis:vis enum $name:ident by $key:literal {
        $($(#[$variant_meta:meta])* $variant:ident($options:ty)),+ $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, $crate::serde::Deserialize, $crate::serde::Serialize, $crate::JsonSchema)]
        #[serde(crate = "efference_sdk::serde", tag = $key, rename_all = "snake_case")]
        #[schemars(crate = "efference_sdk::schemars")]
        $vis enum $name {
            $($(#[$variant_meta])* $variant($options)),+
        }
    };
}

/// The default of an option, which each has.
#[doc(hidden)]
#[macro_export]
macro_rules! option_default {
    ($field:ident : $type:ty = $default:expr) => {
        $default
    };
    ($field:ident : $type:ty =) => {
        compile_error!(concat!(
            "the option `",
            stringify!($field),
            "` has no default: write `",
            stringify!($field),
            ": ",
            stringify!($type),
            " = …`"
        ))
    };
}

/// Reads options from the text of a JSON object. An error names the option that is wrong.
pub fn read<O: Options>(json: &str) -> Result<O> {
    let mut json = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut json).map_err(|e| {
        let path = e.path().to_string();
        let message = e.into_inner().to_string();
        // The line and column are those of the JSON in between, which no user has seen.
        let message = message.split(" at line ").next().unwrap_or_default().to_owned();
        Error::msg(message).in_option(path.trim_matches('.'))
    })
}
