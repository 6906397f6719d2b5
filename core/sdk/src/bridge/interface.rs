//! [`interface!`]: one declaration of a trait that crosses the boundary.

/// Declares a trait, and makes a module with all that lets its objects cross the boundary.
///
/// ```text
/// interface! {
///     /// Docs.
///     pub trait Layer: Send in layer as abi::LayerVTable, parts { /** Docs. */ vjp: Vjp in vjp; } {
///         /// Docs.
///         shared fn forward(x: &Tensor, outs: Range<i64>) -> Tensor, checked |y, caller| { … };
///         exclusive fn reset() -> ();
///         shared fn cost() -> Option<u64> = Ok(None);
///     }
/// }
/// ```
///
/// * A `shared` method takes `&self`, an `exclusive` one `&mut self`; each returns a `Result` of what follows `->`.
///   Arguments are of types that implement [`Arg`](super::Arg), results of types that implement [`Ret`](super::Ret).
/// * A method with a default (`= …`) is optional: its field in the table is an `Option`.
/// * `checked` is what the proxy checks of a result before it returns it.
/// * A part is an interface of its own that the object may have: `fn vjp(&self) -> Option<&dyn Vjp>`. It is asked for
///   once, when the object is received.
///
/// The functions must agree with the fields of the same names in the table, or nothing compiles. The module has
/// `into_raw` and `from_raw` for an owned object, and `Proxy`, the foreign object.
macro_rules! interface {
    (
        $(#[$doc:meta])*
        pub trait $Trait:ident $(: $super:ident)? in $module:ident as $table:ty
        $(, parts { $($(#[$pdoc:meta])* $part:ident: $Interface:ident in $part_module:ident;)* })? {
            $(
                $(#[$mdoc:meta])*
                $access:ident fn $method:ident($($arg:ident: $type:ty),*) -> $ret:ty
                $(= $default:expr)?
                $(, context $context:literal)?
                $(, checked |$result:ident, $caller:ident| $check:expr)?;
            )*
        }
    ) => {
        $(#[$doc])*
        pub trait $Trait $(: $super)? {
            $($(
                $(#[$pdoc])*
                fn $part(&self) -> Option<&dyn $Interface> {
                    None
                }
            )*)?
            $($crate::bridge::interface!(@declare $access $(#[$mdoc])* $method($($arg: $type),*) -> $ret $(= $default)?);)*
        }

        #[doc = concat!("How a [`", stringify!($Trait), "`] crosses the boundary.")]
        #[allow(unsafe_code)] // by the rules of `bridge`, whose code this is
        pub(crate) mod $module {
            #[allow(unused_imports)]
            use super::*;
            use $crate::bridge::{Arg, Caller, Ret, guard};
            use std::ffi::c_void;

            /// What `this_` of an object points to.
            type Fat = *mut (dyn $Trait + 'static);

            $(
                #[allow(clippy::too_many_arguments)] // as many as the method has
                unsafe extern "C" fn $method(
                    this_: *mut c_void,
                    $($arg: <$type as Arg>::Abi,)*
                    out: *mut <$ret as Ret>::Abi,
                    err: *mut efference_abi::Error,
                ) -> efference_abi::Status {
                    // SAFETY: `this_` is an object of this table; arguments are borrowed for this call and seen in
                    // its frame; `out` and `err` are writable.
                    unsafe {
                        guard(err, || {
                            let object = $crate::bridge::interface!(@object $access this_);
                            $(let mut $arg = <$type as Arg>::borrow_raw($arg)?;)*
                            let result = object.$method($(<$type as Arg>::get(&mut $arg)),*)?;
                            Ret::write(result, out);
                            Ok(())
                        })
                    }
                }
            )*

            $($(
                unsafe extern "C" fn $part(
                    this_: *mut c_void,
                    out: *mut efference_abi::Object<$part_module::Table>,
                    err: *mut efference_abi::Error,
                ) -> efference_abi::Status {
                    // SAFETY: as above; the object outlives its part.
                    unsafe {
                        guard(err, || {
                            let object: &'static dyn $Trait = &**this_.cast::<Fat>();
                            out.write(match object.$part() {
                                Some(part) => $part_module::into_raw(Box::new($part_module::Borrowed(part))),
                                None => efference_abi::Object::NULL,
                            });
                            Ok(())
                        })
                    }
                }
            )*)?

            unsafe extern "C" fn destroy(this_: *mut c_void) {
                // A destructor that panics must not unwind into the other side; no call is left to report it by.
                let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    // SAFETY: `into_raw` made this pointer, and its owner destroys it once.
                    drop(unsafe { Box::from_raw(this_.cast::<Box<dyn $Trait>>()) });
                }));
                if let Err(panic) = dropped {
                    $crate::bridge::panicked_while_dropped(panic);
                }
            }

            /// The hand-written table.
            pub(crate) type Table = $table;

            /// The table of every object of this trait.
            pub(crate) static TABLE: Table = {
                type V = Table;
                V {
                    size: size_of::<V>(),
                    destroy,
                    $($method: $crate::bridge::interface!(@field $method $(= $default)?),)*
                    $($($part: Some($part),)*)?
                }
            };

            /// Hands over an object.
            #[allow(dead_code)] // some interfaces are only borrowed
            pub(crate) fn into_raw(object: Box<dyn $Trait>) -> efference_abi::Object<Table> {
                efference_abi::Object { this_: Box::into_raw(Box::new(object)).cast(), vtable: &raw const TABLE }
            }

            /// Takes over an object.
            ///
            /// # Errors
            /// There is none, or its table lacks functions that every object has.
            ///
            /// # Safety
            /// The object was moved here, by [`into_raw`] of any library or an author who follows the rules of the
            /// boundary, and is taken once.
            #[allow(dead_code)] // as above
            pub(crate) unsafe fn from_raw(
                object: efference_abi::Object<Table>,
                caller: Caller,
            ) -> $crate::Result<Box<dyn $Trait>> {
                // SAFETY: by the caller's promise.
                Ok(Box::new(unsafe { Proxy::new(object, caller, true)? }))
            }

            /// A foreign object, called through its table.
            pub struct Proxy {
                object: efference_abi::Object<Table>,
                /// What its maker's table covers, in bytes.
                #[allow(dead_code)] // read for functions that are optional
                size: usize,
                owned: bool,
                caller: Caller,
                $($($part: Option<$part_module::Proxy>,)*)?
            }

            // SAFETY: the boundary lets an object be called from any thread, one at a time.
            unsafe impl Send for Proxy {}

            impl Proxy {
                /// # Safety
                /// The object lives as long as the result; if `owned`, it was moved here.
                pub(crate) unsafe fn new(
                    object: efference_abi::Object<Table>,
                    caller: Caller,
                    owned: bool,
                ) -> $crate::Result<Self> {
                    let what = stringify!($module).replace('_', " ");
                    $crate::ensure!(
                        !object.this_.is_null() && !object.vtable.is_null(),
                        "reported success, but passed no {what}"
                    );
                    // SAFETY: every table begins with its size.
                    let size = unsafe { object.vtable.cast::<usize>().read() };
                    let needed = [
                        std::mem::offset_of!(Table, destroy),
                        $($crate::bridge::interface!(@needed Table $method $(= $default)?),)*
                    ];
                    let needed = needed.into_iter().max().unwrap_or_default() + size_of::<usize>();
                    $crate::ensure!(
                        size >= needed,
                        "passed a {what} whose table has {size} bytes where {needed} are needed: it was compiled \
                         against an older header"
                    );
                    #[allow(unused_mut)] // some have no parts
                    let mut proxy =
                        Proxy { object, size, owned, caller, $($($part: None,)*)? };
                    $($(
                        let end = std::mem::offset_of!(Table, $part) + size_of::<usize>();
                        // SAFETY: the field is read only where the maker's table covers it.
                        let function = if size >= end { unsafe { (*object.vtable).$part } } else { None };
                        if let Some(function) = function {
                            let mut part = efference_abi::Object::NULL;
                            let this_ = object.this_;
                            // SAFETY: the object's own function; the part that it hands over is dropped before it.
                            proxy.$part = unsafe {
                                static PART: $crate::bridge::Method =
                                    $crate::bridge::Method::new(stringify!($part));
                                proxy.caller.call(&PART, |err| function(this_, &raw mut part, err))?;
                                (!part.this_.is_null())
                                    .then(|| $part_module::Proxy::new(part, proxy.caller.clone(), true))
                                    .transpose()?
                            };
                        }
                    )*)?
                    Ok(proxy)
                }
            }

            impl $Trait for Proxy {
                $($(
                    fn $part(&self) -> Option<&dyn $Interface> {
                        self.$part.as_ref().map(|part| part as &dyn $Interface)
                    }
                )*)?
                $($crate::bridge::interface!(
                    @proxy $access $method($($arg: $type),*) -> $ret $(= $default)? $(, context $context)? $(, checked |$result, $caller| $check)?
                );)*
            }

            impl Drop for Proxy {
                fn drop(&mut self) {
                    if self.owned {
                        let Proxy { object, caller, .. } = &*self;
                        // SAFETY: an object that was moved here, destroyed once.
                        caller.destroy(|| unsafe { ((*object.vtable).destroy)(object.this_) });
                    }
                }
            }

            /// An object that is borrowed from another, as an object.
            #[allow(dead_code)] // for interfaces that are parts
            pub(crate) struct Borrowed(pub(crate) &'static dyn $Trait);

            impl<'a> Arg for &'a (dyn $Trait + 'a) {
                type Abi = efference_abi::Object<Table>;
                type Lent = *const (dyn $Trait + 'static);
                type Seen = Proxy;

                fn as_raw(argument: &mut Self) -> Self::Lent {
                    let object: *const (dyn $Trait + 'a) = *argument;
                    // SAFETY: the same pointer; nothing uses it after the call that `'a` outlives.
                    unsafe { std::mem::transmute(object) }
                }

                fn abi(lent: &mut Self::Lent) -> Self::Abi {
                    efference_abi::Object { this_: (&raw mut *lent).cast(), vtable: &raw const TABLE }
                }

                unsafe fn borrow_raw(abi: Self::Abi) -> $crate::Result<Self::Seen> {
                    // SAFETY: an object that is borrowed for the call.
                    unsafe { Proxy::new(abi, Caller::default(), false) }
                }

                unsafe fn get(seen: &mut Self::Seen) -> Self {
                    // SAFETY: by the caller's promise.
                    unsafe { &*(&raw const *seen) }
                }
            }

            impl<'a> Arg for &'a mut (dyn $Trait + 'a) {
                type Abi = efference_abi::Object<Table>;
                type Lent = *mut (dyn $Trait + 'static);
                type Seen = Proxy;

                fn as_raw(argument: &mut Self) -> Self::Lent {
                    let object: *mut (dyn $Trait + 'a) = &raw mut **argument;
                    // SAFETY: the same pointer; nothing uses it after the call that `'a` outlives.
                    unsafe { std::mem::transmute(object) }
                }

                fn abi(lent: &mut Self::Lent) -> Self::Abi {
                    efference_abi::Object { this_: (&raw mut *lent).cast(), vtable: &raw const TABLE }
                }

                unsafe fn borrow_raw(abi: Self::Abi) -> $crate::Result<Self::Seen> {
                    // SAFETY: an object that is borrowed for the call.
                    unsafe { Proxy::new(abi, Caller::default(), false) }
                }

                unsafe fn get(seen: &mut Self::Seen) -> Self {
                    // SAFETY: by the caller's promise.
                    unsafe { &mut *(&raw mut *seen) }
                }
            }

            impl Ret for Box<dyn $Trait> {
                type Abi = efference_abi::Object<Table>;

                fn into_raw(self) -> Self::Abi {
                    into_raw(self)
                }

                unsafe fn from_raw(abi: Self::Abi) -> $crate::Result<Self> {
                    // SAFETY: by the caller's promise.
                    unsafe { from_raw(abi, Caller::default()) }
                }
            }
        }
    };

    (@declare shared $(#[$doc:meta])* $method:ident($($arg:ident: $type:ty),*) -> $ret:ty) => {
        $(#[$doc])*
        fn $method(&self $(, $arg: $type)*) -> $crate::Result<$ret>;
    };
    (@declare exclusive $(#[$doc:meta])* $method:ident($($arg:ident: $type:ty),*) -> $ret:ty) => {
        $(#[$doc])*
        fn $method(&mut self $(, $arg: $type)*) -> $crate::Result<$ret>;
    };
    (@declare shared $(#[$doc:meta])* $method:ident($($arg:ident: $type:ty),*) -> $ret:ty = $default:expr) => {
        $(#[$doc])*
        fn $method(&self $(, $arg: $type)*) -> $crate::Result<$ret> {
            $(let _ = &$arg;)*
            $default
        }
    };
    (@declare exclusive $(#[$doc:meta])* $method:ident($($arg:ident: $type:ty),*) -> $ret:ty = $default:expr) => {
        $(#[$doc])*
        fn $method(&mut self $(, $arg: $type)*) -> $crate::Result<$ret> {
            $(let _ = &$arg;)*
            $default
        }
    };

    (@object shared $this:ident) => { &**$this.cast::<Fat>() };
    (@object exclusive $this:ident) => { &mut **$this.cast::<Fat>() };

    (@field $method:ident) => { $method };
    (@field $method:ident = $default:expr) => { Some($method) };

    (@needed $table:ident $method:ident) => { std::mem::offset_of!($table, $method) };
    (@needed $table:ident $method:ident = $default:expr) => { 0 };

    (@proxy shared $($rest:tt)*) => { $crate::bridge::interface!(@body (&self) self $($rest)*); };
    (@proxy exclusive $($rest:tt)*) => { $crate::bridge::interface!(@body (&mut self) self $($rest)*); };
    (@body ($($receiver:tt)*) $self:ident $method:ident($($arg:ident: $type:ty),*) -> $ret:ty
        $(= $default:expr)? $(, context $context:literal)? $(, checked |$result:ident, $caller:ident| $check:expr)?) => {
        #[allow(unused_mut)] // arguments that move to the receiver are taken out of their variables
        fn $method($($receiver)* $(, mut $arg: $type)*) -> $crate::Result<$ret> {
            let function = $crate::bridge::interface!(@function $self $method ($($arg)*) $(= $default)?);
            let mut out = std::mem::MaybeUninit::<<$ret as Ret>::Abi>::zeroed();
            {
                $(let mut $arg = <$type as Arg>::as_raw(&mut $arg);)*
                static METHOD: $crate::bridge::Method = $crate::bridge::Method::new(stringify!($method));
                // SAFETY: the object's own function; what is borrowed stays in this frame; a result is ours.
                let called = $self.caller.call(&METHOD, |err| unsafe {
                    function($self.object.this_, $(<$type as Arg>::abi(&mut $arg),)* out.as_mut_ptr(), err)
                });
                $(let called = $crate::ResultExt::context(called, $context);)?
                called?;
            }
            // SAFETY: the call succeeded, so the result is there, or what it would be has zero bits.
            let result = $self.caller.attribute(unsafe { <$ret as Ret>::from_raw(out.assume_init()) })?;
            $(
                let $result = &result;
                let $caller = &$self.caller;
                let check = || -> $crate::Result<()> { $check };
                let checked = check();
                $self.caller.attribute(checked)?;
            )?
            Ok(result)
        }
    };

    (@function $self:ident $method:ident ($($arg:ident)*)) => {
        // SAFETY: the maker's table has this function: its size was checked when the object was received.
        unsafe { (*$self.object.vtable).$method }
    };
    (@function $self:ident $method:ident ($($arg:ident)*) = $default:expr) => {{
        let covered = $self.size >= std::mem::offset_of!(Table, $method) + size_of::<usize>();
        // SAFETY: the field is read only where the maker's table covers it.
        match covered.then(|| unsafe { (*$self.object.vtable).$method }).flatten() {
            Some(function) => function,
            None => {
                $(let _ = &$arg;)*
                return $default;
            }
        }
    }};
}

pub(crate) use interface;
