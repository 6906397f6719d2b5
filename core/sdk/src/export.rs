//! What the macro [`export!`](crate::export!) needs: the manifest and the entries of a library.
use crate::{Cell, Environment, Goal, IntoKind, Layer, Plugin, PluginKind, Trainer, bridge};
use efference_abi::{
    self as abi, ABI_VERSION, Entry, FEATURES_LEN, Kind, Library, List, MAGIC, Manifest, Object, PLUGINS_LEN,
    Status, Str,
};
use std::ffi::c_void;

/// Makes plugins of a library, once in each: `efference_sdk::export! { layer: Ldl, goal: Predict }`. The kinds
/// are `environment`, `layer`, `cell`, `trainer` and `goal`.
///
/// A library that cannot do without a feature of the host which not every host of this ABI number has, names it first:
/// `export! { needs: ["slow-cell"], trainer: Dyna }`. The features are listed in
/// [`efference_abi::FEATURES`](crate::abi::FEATURES).
#[macro_export]
macro_rules! export {
    (needs: [$($feature:literal),*], $($kind:ident : $plugin:ty),+ $(,)?) => {
        // The one place where a plugin needs `unsafe`: it exports a symbol under its plain name.
        #[allow(unsafe_code)]
        const _: () = {
            const PLUGINS: &[$crate::export::Info] =
                &[$($crate::export::$kind::<$plugin>(env!("CARGO_PKG_VERSION"))),+];
            static ENTRIES: [$crate::abi::Entry; PLUGINS.len()] = $crate::export::entries(PLUGINS);
            #[unsafe(no_mangle)]
            #[allow(non_upper_case_globals)]
            pub static efference_plugin: $crate::abi::Library =
                $crate::export::library(PLUGINS, &[$($feature),*], &ENTRIES);
        };
    };
    ($($kind:ident : $plugin:ty),+ $(,)?) => {
        $crate::export! { needs: [], $($kind: $plugin),+ }
    };
}

/// One plugin of a library, before it becomes an [`Entry`].
#[derive(Clone, Copy)]
pub struct Info {
    kind: Kind,
    name: &'static str,
    version: &'static str,
    description: &'static str,
    options_schema: unsafe extern "C" fn(*mut List<u8>, *mut abi::Error) -> Status,
    check_options: unsafe extern "C" fn(Str, *mut c_void, *mut abi::Error) -> Status,
    create: unsafe extern "C" fn(Str, *const c_void, *mut Object<c_void>, *mut abi::Error) -> Status,
    outline: unsafe extern "C" fn(Str, *mut abi::Outline, *mut abi::Error) -> Status,
}

/// Plugins of the kind `K`: the one bound by which the compiler refuses another kind, with a single error.
pub trait OfKind<K: ?Sized> {}
impl<P: Plugin> OfKind<P::Kind> for P {}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident: $Kind:ty;)+) => {$(
        $(#[$doc])*
        pub const fn $name<P: Plugin + OfKind<$Kind>>(version: &'static str) -> Info
        where
            Box<P>: IntoKind<P::Kind>,
        {
            Info {
                kind: <P::Kind as PluginKind>::KIND,
                name: P::NAME,
                version,
                description: P::DESCRIPTION,
                options_schema: bridge::options_schema_of::<P::Options>,
                check_options: bridge::check_options_of::<P>,
                create: bridge::create_of::<P>,
                outline: bridge::outline_of::<P>,
            }
        }
    )+};
}

kinds! {
    /// An environment plugin.
    environment: dyn Environment;
    /// A layer plugin.
    layer: dyn Layer;
    /// A cell plugin.
    cell: dyn Cell;
    /// A trainer plugin.
    trainer: dyn Trainer;
    /// A goal plugin.
    goal: dyn Goal;
}

/// What the host reads of a library's plugins, of which there is at least one.
pub const fn entries<const N: usize>(plugins: &[Info]) -> [Entry; N] {
    let mut entries = [plugins[0].entry(); N];
    let mut i = 1;
    while i < N {
        entries[i] = plugins[i].entry();
        i += 1;
    }
    entries
}

impl Info {
    /// The entry that the host reads.
    pub const fn entry(&self) -> Entry {
        Entry {
            size: size_of::<Entry>(),
            kind: self.kind as u32,
            name: Str::new(self.name),
            version: Str::new(self.version),
            description: Str::new(self.description),
            options_schema: self.options_schema,
            check_options: self.check_options,
            create: self.create,
            outline: Some(self.outline),
        }
    }
}

/// The table that a library exports.
pub const fn library(plugins: &[Info], needs: &[&str], entries: &'static [Entry]) -> Library {
    Library {
        manifest: manifest(plugins, needs),
        entries: entries.as_ptr(),
        entry_count: entries.len(),
        init: bridge::init_library,
    }
}

/// The manifest of a library compiled with this SDK. Fails to compile where texts are too long for it.
pub const fn manifest(plugins: &[Info], needs: &[&str]) -> Manifest {
    let mut features = [0; FEATURES_LEN];
    let (mut end, mut feature) = (0, 0);
    while feature < needs.len() {
        end = copy(needs[feature], &mut features, end);
        end = copy("\n", &mut features, end);
        feature += 1;
    }
    let mut list = [0; PLUGINS_LEN];
    let (mut at, mut i) = (0, 0);
    while i < plugins.len() {
        let p = &plugins[i];
        let pieces = [p.kind.name(), "/", p.name, "\t", p.version, "\t", p.description, "\n"];
        let mut piece = 0;
        while piece < pieces.len() {
            at = copy(pieces[piece], &mut list, at);
            piece += 1;
        }
        i += 1;
    }
    Manifest {
        magic: MAGIC,
        abi_version: ABI_VERSION,
        size: size_of::<Manifest>() as u32,
        sdk_version: padded(env!("CARGO_PKG_VERSION")),
        libtorch_version: padded(env!("EFFERENCE_LIBTORCH_VERSION")),
        target: padded(env!("EFFERENCE_TARGET")),
        features,
        plugins: list,
    }
}

const fn padded<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    copy(text, &mut bytes, 0);
    bytes
}

const fn copy(text: &str, into: &mut [u8], mut at: usize) -> usize {
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        assert!(
            at + 1 < into.len(),
            "the name, version or description of a plugin is too long for the manifest"
        );
        into[at] = bytes[i];
        at += 1;
        i += 1;
    }
    at
}

/// The version of libtorch that this was compiled against, such as `2.13.0`.
pub const fn libtorch_version() -> &'static str {
    env!("EFFERENCE_LIBTORCH_VERSION")
}
