//! What a plugin is, whatever its kind.
//!
//! Rules of the unsafe code here: the unsafe functions of [`PluginKind`] are declared here for the bridge, which alone
//! implements and calls them.
#![allow(unsafe_code)]
use crate::bridge::Caller;
use crate::{Options, Outline, Result};
use efference_abi::{self as abi, Object};

/// A plugin: its name in a spec, its options, and how it is made. It also implements the trait of its kind, which says
/// what it does.
pub trait Plugin: Sized + Send + 'static {
    /// The name that a spec says, such as `ldl`.
    const NAME: &'static str;
    /// What it is, in one line.
    const DESCRIPTION: &'static str;
    /// Its options; [`options!`](crate::options!) declares such a struct.
    type Options: Options;
    /// What it is for: `dyn Layer`, `dyn Cell`, `dyn Goal`, `dyn Trainer` or `dyn Environment`.
    type Kind: ?Sized + PluginKind;

    /// What can be said of options alone: an error where they contradict each other though each is in its range (such as a
    /// ball too large for its box; [`Error::in_option`](crate::Error::in_option) names the one to change), and of an
    /// environment what it will be like. Quick, starts nothing, and allocates next to nothing: `efference check` asks
    /// for it.
    fn outline(options: &Self::Options) -> Result<Outline> {
        let _ = options;
        Ok(Outline::default())
    }

    /// Makes one: a layer from [`LayerSetup`](crate::LayerSetup), and so on.
    fn new(options: Self::Options, setup: &<Self::Kind as PluginKind>::Setup<'_>) -> Result<Self>;
}

/// A kind of plugin, as the trait object that plugins of it are used through.
///
/// Implemented for the five kinds; the functions are the bridge's.
pub trait PluginKind: 'static {
    /// Its number in manifests.
    const KIND: abi::Kind;
    /// What an object of the kind is made from.
    type Setup<'a>;
    /// The same as it crosses the boundary.
    type RawSetup;
    /// The C table of its objects.
    type Table;

    /// Borrows a setup for the length of `f`.
    #[doc(hidden)]
    fn lend_setup<R>(
        setup: &Self::Setup<'_>,
        f: impl FnOnce(*const Self::RawSetup) -> Result<R>,
    ) -> Result<R>;

    /// Looks at a borrowed setup.
    ///
    /// # Safety
    /// `setup` was made by [`lend_setup`](PluginKind::lend_setup) of any library, and is borrowed for the call.
    #[doc(hidden)]
    unsafe fn see_setup<R>(
        setup: *const Self::RawSetup,
        f: impl FnOnce(&Self::Setup<'_>) -> Result<R>,
    ) -> Result<R>;

    /// Hands over an object.
    #[doc(hidden)]
    fn into_raw(object: Box<Self>) -> Object<Self::Table>;

    /// Takes over an object.
    ///
    /// # Safety
    /// It was moved here and is taken once.
    #[doc(hidden)]
    unsafe fn from_raw(object: Object<Self::Table>, caller: Caller) -> Result<Box<Self>>;
}

/// An object that can be used through the trait object of its kind.
pub trait IntoKind<K: ?Sized> {
    /// The same object.
    fn into_kind(self) -> Box<K>;
}
