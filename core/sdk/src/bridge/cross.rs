//! How arguments and results cross the boundary: one `impl` a type.
use super::lists::{list, list_with_owner, read_slice, read_str, take_list, try_take_list};
use crate::{Result, Saved, ensure};
use efference_abi::{self as abi, ActionGroup, List, NamedTensor, Restores, Size, Slice, StepType, Str};
use std::ffi::c_void;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::time::Duration;
use tch::{Device, Tensor};

pub(super) type RawTensor = abi::Tensor;

/// A type that may be an argument of an `interface!` method.
pub trait Arg: Sized {
    /// What crosses.
    type Abi;
    /// What the caller keeps during the call.
    type Lent;
    /// What the callee keeps during the call.
    type Seen;

    /// Caller: prepares an argument.
    fn as_raw(argument: &mut Self) -> Self::Lent;

    /// Caller: what crosses, valid as long as `lent` stays in place.
    fn abi(lent: &mut Self::Lent) -> Self::Abi;

    /// Callee: takes what crossed.
    ///
    /// # Safety
    /// `abi` was made by [`abi`](Arg::abi), or by an author who follows the rules of the boundary, for this call.
    unsafe fn borrow_raw(abi: Self::Abi) -> Result<Self::Seen>;

    /// Callee: the argument.
    ///
    /// # Safety
    /// `seen` stays in place as long as the result is used, and is used once.
    unsafe fn get(seen: &mut Self::Seen) -> Self;
}

/// A type that may be the result of an `interface!` method.
pub trait Ret: Sized {
    /// What crosses. All its bits may be zero.
    type Abi;

    /// Hands the result over.
    fn into_raw(self) -> Self::Abi;

    /// Takes the result over.
    ///
    /// # Safety
    /// `abi` was made by [`into_raw`](Ret::into_raw), or by an author who follows the rules of the boundary, or is
    /// zero; it is taken once.
    unsafe fn from_raw(abi: Self::Abi) -> Result<Self>;

    /// Callee: writes the result.
    ///
    /// # Safety
    /// `out` is writable, or null where there is no result.
    unsafe fn write(self, out: *mut Self::Abi) {
        // SAFETY: by the caller's promise.
        unsafe { out.write(self.into_raw()) };
    }
}

/// Refuses a struct that is shorter than what is read of it.
///
/// # Safety
/// `ptr` is null or points to a struct that begins with its size.
pub(super) unsafe fn check_size<T>(ptr: *const T, what: &str) -> Result<()> {
    ensure!(!ptr.is_null(), "passed no {what}");
    // SAFETY: by the caller's promise.
    let size = unsafe { ptr.cast::<usize>().read() };
    let needed = size_of::<T>();
    ensure!(
        size >= needed,
        "passed a {what} of {size} bytes where {needed} are needed: it was compiled against an older header"
    );
    Ok(())
}

// ---- Tensors ----

pub(super) fn as_raw(t: &Tensor) -> *const RawTensor {
    t.as_ptr().cast()
}

/// Looks at a borrowed tensor; the `ManuallyDrop` keeps it from being freed here.
///
/// # Safety
/// `p` is a live tensor for as long as the result is used.
pub(super) unsafe fn borrow_raw(p: *const RawTensor) -> ManuallyDrop<Tensor> {
    // SAFETY: by the caller's promise; tch's `from_ptr` takes the pointer without touching its count.
    ManuallyDrop::new(unsafe { Tensor::from_ptr(p.cast_mut().cast()) })
}

/// The tensor in `seen`, for as long as the caller of [`Arg::get`] promises.
pub(super) unsafe fn extend<'a>(seen: &ManuallyDrop<Tensor>) -> &'a Tensor {
    let tensor: *const Tensor = &raw const **seen;
    // SAFETY: by the caller's promise.
    unsafe { &*tensor }
}

impl Arg for &Tensor {
    type Abi = *const RawTensor;
    type Lent = *const RawTensor;
    type Seen = ManuallyDrop<Tensor>;

    fn as_raw(argument: &mut Self) -> Self::Lent {
        as_raw(argument)
    }

    fn abi(lent: &mut Self::Lent) -> Self::Abi {
        *lent
    }

    unsafe fn borrow_raw(abi: Self::Abi) -> Result<Self::Seen> {
        ensure!(!abi.is_null(), "passed no tensor");
        // SAFETY: a borrowed tensor.
        Ok(unsafe { borrow_raw(abi) })
    }

    unsafe fn get(seen: &mut Self::Seen) -> Self {
        // SAFETY: by the caller's promise.
        unsafe { extend(seen) }
    }
}

impl Arg for Tensor {
    type Abi = *mut RawTensor;
    type Lent = *mut RawTensor;
    type Seen = Option<Tensor>;

    fn as_raw(argument: &mut Self) -> Self::Lent {
        std::mem::replace(argument, Tensor::new()).into_raw()
    }

    fn abi(lent: &mut Self::Lent) -> Self::Abi {
        *lent
    }

    unsafe fn borrow_raw(abi: Self::Abi) -> Result<Self::Seen> {
        // SAFETY: a tensor that was moved here.
        Ok(Some(unsafe { Tensor::from_raw(abi)? }))
    }

    unsafe fn get(seen: &mut Self::Seen) -> Self {
        seen.take().unwrap_or_else(Tensor::new)
    }
}

impl Ret for Tensor {
    type Abi = *mut RawTensor;

    fn into_raw(self) -> Self::Abi {
        ManuallyDrop::new(self).as_mut_ptr().cast()
    }

    unsafe fn from_raw(abi: Self::Abi) -> Result<Self> {
        ensure!(!abi.is_null(), "reported success, but returned no tensor");
        // SAFETY: a tensor that was moved here, taken once.
        Ok(unsafe { Tensor::from_ptr(abi.cast()) })
    }
}

impl Ret for Option<Tensor> {
    type Abi = *mut RawTensor;

    fn into_raw(self) -> Self::Abi {
        self.map_or(std::ptr::null_mut(), Ret::into_raw)
    }

    unsafe fn from_raw(abi: Self::Abi) -> Result<Self> {
        // SAFETY: null, or a tensor that was moved here, taken once.
        Ok((!abi.is_null()).then(|| unsafe { Tensor::from_ptr(abi.cast()) }))
    }
}

impl Arg for &[Tensor] {
    type Abi = Slice<*const RawTensor>;
    type Lent = Vec<*const RawTensor>;
    type Seen = Vec<ManuallyDrop<Tensor>>;

    fn as_raw(argument: &mut Self) -> Self::Lent {
        argument.iter().map(as_raw).collect()
    }

    fn abi(lent: &mut Self::Lent) -> Self::Abi {
        Slice::new(lent)
    }

    unsafe fn borrow_raw(abi: Self::Abi) -> Result<Self::Seen> {
        // SAFETY: borrowed tensors.
        unsafe {
            let pointers = read_slice(abi.ptr, abi.len);
            pointers.iter().map(|p| <&Tensor as Arg>::borrow_raw(*p)).collect()
        }
    }

    unsafe fn get(seen: &mut Self::Seen) -> Self {
        // SAFETY: by the caller's promise; a `ManuallyDrop` has the layout of what it holds.
        unsafe { std::slice::from_raw_parts(seen.as_ptr().cast(), seen.len()) }
    }
}

impl Arg for &[Option<&Tensor>] {
    type Abi = Slice<*const RawTensor>;
    type Lent = Vec<*const RawTensor>;
    type Seen = (Vec<Option<ManuallyDrop<Tensor>>>, Vec<Option<&'static Tensor>>);

    fn as_raw(argument: &mut Self) -> Self::Lent {
        argument.iter().map(|t| t.map_or(std::ptr::null(), as_raw)).collect()
    }

    fn abi(lent: &mut Self::Lent) -> Self::Abi {
        Slice::new(lent)
    }

    unsafe fn borrow_raw(abi: Self::Abi) -> Result<Self::Seen> {
        // SAFETY: borrowed tensors, or null.
        let tensors = unsafe {
            let pointers = read_slice(abi.ptr, abi.len);
            pointers.iter().map(|p| (!p.is_null()).then(|| borrow_raw(*p))).collect()
        };
        Ok((tensors, Vec::new()))
    }

    unsafe fn get(seen: &mut Self::Seen) -> Self {
        // SAFETY: by the caller's promise.
        unsafe {
            seen.1 = seen.0.iter().map(|t| t.as_ref().map(|t| extend(t))).collect();
            std::slice::from_raw_parts(seen.1.as_ptr().cast(), seen.1.len())
        }
    }
}

/// Hands over tensors.
pub(super) fn tensors_into_raw(tensors: Vec<Tensor>) -> List<*mut RawTensor> {
    list(tensors.into_iter().map(Ret::into_raw).collect())
}

/// Takes over tensors.
///
/// # Safety
/// The list was moved here and is taken once.
pub(super) unsafe fn tensors_from_raw(tensors: List<*mut RawTensor>) -> Result<Vec<Tensor>> {
    // SAFETY: by the caller's promise.
    unsafe { try_take_list(tensors, |t| Tensor::from_raw(t)) }
}

impl Ret for Vec<Tensor> {
    type Abi = List<*mut RawTensor>;

    fn into_raw(self) -> Self::Abi {
        tensors_into_raw(self)
    }

    unsafe fn from_raw(abi: Self::Abi) -> Result<Self> {
        // SAFETY: by the caller's promise.
        unsafe { tensors_from_raw(abi) }
    }
}

impl Ret for Saved {
    type Abi = List<NamedTensor>;

    fn into_raw(self) -> Self::Abi {
        let (names, tensors): (Vec<String>, Vec<Tensor>) = self.into_iter().unzip();
        let named = names.iter().zip(tensors);
        let named = named.map(|(name, t)| NamedTensor { name: Str::new(name), tensor: t.into_raw() });
        // The bytes of a name stay where they are when the names are moved.
        list_with_owner(named.collect(), names)
    }

    unsafe fn from_raw(abi: Self::Abi) -> Result<Self> {
        // SAFETY: a list that was moved here, taken once.
        unsafe { try_take_list(abi, |n| Ok((read_str(n.name), Tensor::from_raw(n.tensor)?))) }
    }
}

impl Arg for Saved {
    type Abi = List<NamedTensor>;
    type Lent = Option<List<NamedTensor>>;
    type Seen = Saved;

    fn as_raw(argument: &mut Self) -> Self::Lent {
        Some(std::mem::take(argument).into_raw())
    }

    fn abi(lent: &mut Self::Lent) -> Self::Abi {
        lent.take().unwrap_or(List::EMPTY)
    }

    unsafe fn borrow_raw(abi: Self::Abi) -> Result<Self::Seen> {
        // SAFETY: a list that was moved here.
        unsafe { Saved::from_raw(abi) }
    }

    unsafe fn get(seen: &mut Self::Seen) -> Self {
        std::mem::take(seen)
    }
}

// ---- Texts, numbers and slices of plain elements ----

impl Arg for &str {
    type Abi = Str;
    type Lent = Str;
    type Seen = String;

    fn as_raw(argument: &mut Self) -> Self::Lent {
        Str::new(argument)
    }

    fn abi(lent: &mut Self::Lent) -> Self::Abi {
        *lent
    }

    unsafe fn borrow_raw(abi: Self::Abi) -> Result<Self::Seen> {
        // SAFETY: a borrowed text.
        Ok(unsafe { read_str(abi) })
    }

    unsafe fn get(seen: &mut Self::Seen) -> Self {
        let text: *const str = &raw const **seen;
        // SAFETY: by the caller's promise.
        unsafe { &*text }
    }
}

/// A type that crosses as another one, by value.
macro_rules! by_value {
    ($($type:ty as $abi:ty: |$value:ident| $to:expr, |$raw:ident| $from:expr;)+) => { $(
        impl Arg for $type {
            type Abi = $abi;
            type Lent = $type;
            type Seen = $type;

            fn as_raw(argument: &mut Self) -> Self::Lent {
                argument.clone()
            }

            fn abi(lent: &mut Self::Lent) -> Self::Abi {
                let $value = lent.clone();
                $to
            }

            unsafe fn borrow_raw(abi: Self::Abi) -> Result<Self::Seen> {
                let $raw = abi;
                $from
            }

            unsafe fn get(seen: &mut Self::Seen) -> Self {
                seen.clone()
            }
        }

        impl Ret for $type {
            type Abi = $abi;

            fn into_raw(self) -> Self::Abi {
                let $value = self;
                $to
            }

            unsafe fn from_raw(abi: Self::Abi) -> Result<Self> {
                let $raw = abi;
                $from
            }
        }
    )+ };
}

by_value! {
    i64 as i64: |v| v, |raw| Ok(raw);
    u64 as u64: |v| v, |raw| Ok(raw);
    f64 as f64: |v| v, |raw| Ok(raw);
    bool as bool: |v| v, |raw| Ok(raw);
    Range<i64> as abi::Range: |r| abi::Range { start: r.start, end: r.end }, |raw| Ok(raw.start..raw.end);
    Size as Size: |size| size, |raw| Ok(raw);
    Duration as u64: |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX), |raw| Ok(Duration::from_nanos(raw));
    // 0: unknown.
    Option<u64> as u64: |v| v.unwrap_or(0), |raw| Ok((raw > 0).then_some(raw));
    Device as i32: |d| device_number(d), |raw| Ok(device_of(raw));
    Restores as u32: |r| r as u32, |raw| Ok(match raw {
        2 => Restores::Exact,
        1 => Restores::Replay,
        _ => Restores::Fresh,
    });
}

pub(super) fn device_number(device: Device) -> i32 {
    match device {
        Device::Cuda(n) => n as i32,
        _ => -1,
    }
}

pub(super) fn device_of(number: i32) -> Device {
    usize::try_from(number).map_or(Device::Cpu, Device::Cuda)
}

impl Ret for () {
    type Abi = c_void;

    fn into_raw(self) -> Self::Abi {
        unreachable!("nothing is written where there is no result")
    }

    unsafe fn from_raw(_: Self::Abi) -> Result<Self> {
        Ok(())
    }

    unsafe fn write(self, _: *mut Self::Abi) {}
}

/// Elements that are the same on both sides.
pub(super) trait Plain: Copy {}
impl Plain for f32 {}
impl Plain for f64 {}
impl Plain for u8 {}
impl Plain for u64 {}
impl Plain for ActionGroup {}
impl Plain for StepType {}

impl<T: Plain> Arg for &[T] {
    type Abi = Slice<T>;
    type Lent = Slice<T>;
    type Seen = Slice<T>;

    fn as_raw(argument: &mut Self) -> Self::Lent {
        Slice::new(argument)
    }

    fn abi(lent: &mut Self::Lent) -> Self::Abi {
        *lent
    }

    unsafe fn borrow_raw(abi: Self::Abi) -> Result<Self::Seen> {
        Ok(abi)
    }

    unsafe fn get(seen: &mut Self::Seen) -> Self {
        // SAFETY: borrowed elements, for the call.
        unsafe { read_slice(seen.ptr, seen.len) }
    }
}

impl Ret for Vec<u8> {
    type Abi = List<u8>;

    fn into_raw(self) -> Self::Abi {
        list(self)
    }

    unsafe fn from_raw(abi: Self::Abi) -> Result<Self> {
        // SAFETY: a list that was moved here, taken once.
        Ok(unsafe { take_list(abi, |byte| byte) })
    }
}
