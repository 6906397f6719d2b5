//! Layers, cells, and the cell as a goal sees it.
use super::build::{ForeignFactory, ForeignParams, lend_factory, lend_params};
use super::passes::{ForeignPasses, PassesTable};
use super::raw;
use crate::{
    AnyCell, AnyLayer, Cell, Error, GradMask, GradPath, Layer, LayerFactory, ParamStore, Params, Result,
    Size, Transition, Vjp, options,
};
use efference_abi::{self as abi, Buf, Status, Str};
use std::ffi::c_void;
use std::mem::offset_of;
use std::ops::Range;
use tch::Tensor;

unsafe extern "C" fn new_layer<L: Layer>(
    options: Str,
    ins: i64,
    outs: i64,
    params: *const abi::Params,
    out: *mut *mut c_void,
    err: *mut Buf,
) -> Status {
    // SAFETY: lent options and store; `out` is writable.
    unsafe {
        raw::guard(err, || {
            let options = options::read(&raw::see_str(options))?;
            let store = ForeignParams::new(params);
            let layer: Box<dyn AnyLayer> =
                Box::new(L::new(options, Size { ins, outs }, &Params::new(&store))?);
            out.write(Box::into_raw(Box::new(layer)).cast());
            Ok(())
        })
    }
}

unsafe extern "C" fn no_new_layer(
    _: Str,
    _: i64,
    _: i64,
    _: *const abi::Params,
    _: *mut *mut c_void,
    err: *mut Buf,
) -> Status {
    // SAFETY: `err` is writable.
    unsafe { raw::guard(err, || Err(Error::msg("this table is of one layer, and makes no others"))) }
}

unsafe extern "C" fn forward_layer(
    this_: *mut c_void,
    x: *const abi::Tensor,
    start: i64,
    end: i64,
    out: *mut *mut abi::Tensor,
    err: *mut Buf,
) -> Status {
    // SAFETY: a layer that was given, a lent tensor; `out` is writable.
    unsafe {
        raw::guard(err, || {
            let layer = &*this_.cast::<Box<dyn AnyLayer>>();
            out.write(raw::give(layer.forward(&raw::see(x), start..end)?));
            Ok(())
        })
    }
}

unsafe extern "C" fn multiply_accumulates(this_: *mut c_void) -> u64 {
    let mut number = 0;
    // SAFETY: a layer that was given; nobody asks why it does not know.
    unsafe {
        raw::guard(std::ptr::null_mut(), || {
            number = (*this_.cast::<Box<dyn AnyLayer>>()).multiply_accumulates().unwrap_or(0);
            Ok(())
        });
    }
    number
}

unsafe extern "C" fn destroy_layer(this_: *mut c_void) {
    // SAFETY: a layer that was given, once.
    unsafe { raw::destroy::<dyn AnyLayer>(this_) };
}

struct LayerTable<L>(L);

impl<L: Layer> LayerTable<L> {
    const TABLE: abi::LayerVTable = abi::LayerVTable {
        size: size_of::<abi::LayerVTable>(),
        create: new_layer::<L>,
        forward: forward_layer,
        destroy: destroy_layer,
        passes: PassesTable::<dyn AnyLayer>::TABLE,
        multiplications: Some(multiply_accumulates),
    };
}

/// The table of a layer plugin.
pub const fn layer_vtable<L: Layer>() -> *const c_void {
    (&raw const *const { &LayerTable::<L>::TABLE }).cast()
}

static ONE_LAYER: abi::LayerVTable = abi::LayerVTable {
    size: size_of::<abi::LayerVTable>(),
    create: no_new_layer,
    forward: forward_layer,
    destroy: destroy_layer,
    passes: PassesTable::<dyn AnyLayer>::TABLE,
    multiplications: Some(multiply_accumulates),
};

pub(super) fn give_layer(layer: Box<dyn AnyLayer>) -> abi::LayerObject {
    abi::LayerObject { this_: Box::into_raw(Box::new(layer)).cast(), vtable: &raw const ONE_LAYER }
}

/// # Safety
/// `object` was given by the other side and is taken once.
pub(super) unsafe fn take_layer(object: abi::LayerObject) -> Result<Box<dyn AnyLayer>> {
    if object.this_.is_null() {
        return Err(Error::msg("said that it succeeded, but gave no layer"));
    }
    let abi::LayerObject { this_: this, vtable } = object;
    // SAFETY: by the caller's promise; an older maker's table may be shorter, and what it lacks is not read.
    let (passes, multiplications) = unsafe {
        let size = (*vtable).size;
        let knows_passes =
            size >= offset_of!(abi::LayerVTable, passes) + size_of::<*const abi::PassesVTable>();
        let knows_multiplications = size >= size_of::<abi::LayerVTable>();
        (
            knows_passes.then(|| ForeignPasses::new(this, (*vtable).passes)).flatten(),
            knows_multiplications.then(|| (*vtable).multiplications).flatten(),
        )
    };
    Ok(Box::new(ForeignLayer { this, vtable, passes, multiplications }))
}

/// Makes a layer by the table of a layer plugin.
///
/// # Safety
/// `vtable` is the table of a layer plugin of a library that was checked and started.
pub unsafe fn create_layer(
    vtable: *const c_void,
    options: &serde_json::Value,
    size: Size,
    params: &Params<'_>,
) -> Result<Box<dyn AnyLayer>> {
    let vtable: *const abi::LayerVTable = vtable.cast();
    let json = options.to_string();
    let store: &dyn ParamStore = params;
    let params = lend_params(&store);
    let mut this_ = std::ptr::null_mut();
    // SAFETY: by the caller's promise; everything lent outlives the call.
    unsafe {
        let create = (*vtable).create;
        raw::call(|err| {
            create(raw::text(&json), size.ins, size.outs, &raw const params, &raw mut this_, err)
        })?;
        take_layer(abi::LayerObject { this_, vtable })
    }
}

struct ForeignLayer {
    this: *mut c_void,
    vtable: *const abi::LayerVTable,
    passes: Option<ForeignPasses>,
    multiplications: Option<unsafe extern "C" fn(*mut c_void) -> u64>,
}

// SAFETY: the boundary lets an object be called from any thread, one at a time.
unsafe impl Send for ForeignLayer {}

impl AnyLayer for ForeignLayer {
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        let mut out = std::ptr::null_mut();
        // SAFETY: a layer that was given; `x` is lent, the result is ours.
        unsafe {
            let forward = (*self.vtable).forward;
            raw::call(|err| forward(self.this, raw::lend(x), outs.start, outs.end, &raw mut out, err))?;
            raw::take(out)
        }
    }

    fn vjp(&self) -> Option<&dyn Vjp> {
        self.passes.as_ref().map(|p| p as &dyn Vjp)
    }

    fn multiply_accumulates(&self) -> Option<u64> {
        // SAFETY: a layer that was given.
        let number = unsafe { self.multiplications?(self.this) };
        (number > 0).then_some(number)
    }
}

impl Drop for ForeignLayer {
    fn drop(&mut self) {
        // SAFETY: a layer that was given, once.
        unsafe { ((*self.vtable).destroy)(self.this) };
    }
}

unsafe extern "C" fn new_cell<C: Cell>(
    options: Str,
    ins: i64,
    outs: i64,
    layers: *const abi::LayerFactory,
    params: *const abi::Params,
    out: *mut *mut c_void,
    err: *mut Buf,
) -> Status {
    // SAFETY: lent options, factory and store; `out` is writable.
    unsafe {
        raw::guard(err, || {
            let options = options::read(&raw::see_str(options))?;
            let (layers, store) = (ForeignFactory::new(layers), ForeignParams::new(params));
            let cell: Box<dyn AnyCell> =
                Box::new(C::new(options, Size { ins, outs }, &layers, &Params::new(&store))?);
            out.write(Box::into_raw(Box::new(cell)).cast());
            Ok(())
        })
    }
}

unsafe extern "C" fn forward_cell(
    this_: *mut c_void,
    x: *const abi::Tensor,
    start: i64,
    end: i64,
    out: *mut *mut abi::Tensor,
    err: *mut Buf,
) -> Status {
    // SAFETY: a cell that was given, a lent tensor; `out` is writable.
    unsafe {
        raw::guard(err, || {
            let cell = &*this_.cast::<Box<dyn AnyCell>>();
            out.write(raw::give(cell.forward(&raw::see(x), start..end)?));
            Ok(())
        })
    }
}

unsafe extern "C" fn destroy_cell(this_: *mut c_void) {
    // SAFETY: a cell that was given, once.
    unsafe { raw::destroy::<dyn AnyCell>(this_) };
}

struct CellTable<C>(C);

impl<C: Cell> CellTable<C> {
    const TABLE: abi::CellVTable = abi::CellVTable {
        size: size_of::<abi::CellVTable>(),
        create: new_cell::<C>,
        forward: forward_cell,
        destroy: destroy_cell,
        passes: PassesTable::<dyn AnyCell>::TABLE,
    };
}

/// The table of a cell plugin.
pub const fn cell_vtable<C: Cell>() -> *const c_void {
    (&raw const *const { &CellTable::<C>::TABLE }).cast()
}

/// Makes a cell by the table of a cell plugin.
///
/// # Safety
/// `vtable` is the table of a cell plugin of a library that was checked and started.
pub unsafe fn create_cell(
    vtable: *const c_void,
    options: &serde_json::Value,
    size: Size,
    layers: &dyn LayerFactory,
    params: &Params<'_>,
) -> Result<Box<dyn AnyCell>> {
    let vtable: *const abi::CellVTable = vtable.cast();
    let json = options.to_string();
    let store: &dyn ParamStore = params;
    let (layers, params) = (lend_factory(&layers), lend_params(&store));
    let mut this = std::ptr::null_mut();
    // SAFETY: by the caller's promise; everything lent outlives the call.
    unsafe {
        let create = (*vtable).create;
        raw::call(|err| {
            let lent = (&raw const layers, &raw const params);
            create(raw::text(&json), size.ins, size.outs, lent.0, lent.1, &raw mut this, err)
        })?;
    }
    if this.is_null() {
        return Err(Error::msg("said that it succeeded, but gave no cell"));
    }
    // SAFETY: by the caller's promise; an older maker's table may be shorter.
    let passes = unsafe {
        let knows = (*vtable).size >= size_of::<abi::CellVTable>();
        knows.then(|| ForeignPasses::new(this, (*vtable).passes)).flatten()
    };
    Ok(Box::new(ForeignCell { this, vtable, passes }))
}

struct ForeignCell {
    this: *mut c_void,
    vtable: *const abi::CellVTable,
    passes: Option<ForeignPasses>,
}

// SAFETY: the boundary lets an object be called from any thread, one at a time.
unsafe impl Send for ForeignCell {}

impl AnyCell for ForeignCell {
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        let mut out = std::ptr::null_mut();
        // SAFETY: a cell that was given; `x` is lent, the result is ours.
        unsafe {
            let forward = (*self.vtable).forward;
            raw::call(|err| forward(self.this, raw::lend(x), outs.start, outs.end, &raw mut out, err))?;
            raw::take(out)
        }
    }

    fn vjp(&self) -> Option<&dyn Vjp> {
        self.passes.as_ref().map(|p| p as &dyn Vjp)
    }
}

impl Drop for ForeignCell {
    fn drop(&mut self) {
        // SAFETY: a cell that was given, once.
        unsafe { ((*self.vtable).destroy)(self.this) };
    }
}

fn lane_out(lane: &GradPath) -> abi::Lane {
    let (chunk, carries, period) = match lane.mask {
        GradMask::All => (0, 1, 1),
        GradMask::EvenChunks { size } => (size, 0b01, 2),
        GradMask::OddChunks { size } => (size, 0b10, 2),
    };
    abi::Lane { start: lane.outs.start, end: lane.outs.end, chunk, carries, period, frozen: lane.frozen }
}

fn lane_in(lane: &abi::Lane) -> Result<GradPath> {
    let mask = match (lane.chunk, lane.carries, lane.period) {
        (0, ..) | (_, 1, 1) => GradMask::All,
        (size, 0b01, 2) => GradMask::EvenChunks { size },
        (size, 0b10, 2) => GradMask::OddChunks { size },
        (_, carries, period) => {
            crate::bail!(
                "a lane whose gradient runs through chunks {carries:#b} of {period} is not supported by this host"
            )
        }
    };
    Ok(GradPath { outs: lane.start..lane.end, mask, frozen: lane.frozen })
}

unsafe extern "C" fn evaluate(
    ctx: *mut c_void,
    x: *const abi::Tensor,
    lanes: *const abi::Lane,
    lane_count: usize,
    out: *mut *mut abi::Tensor,
    err: *mut Buf,
) -> Status {
    // SAFETY: a lent cell, tensor and lanes; `out` has room for one tensor a lane.
    unsafe {
        raw::guard(err, || {
            let lanes = raw::see_slice(lanes, lane_count).iter().map(lane_in).collect::<Result<Vec<_>>>()?;
            let ys = raw::see_ctx::<dyn Transition>(ctx).evaluate(&raw::see(x), &lanes)?;
            crate::ensure!(ys.len() == lane_count, "evaluated {} lanes instead of {lane_count}", ys.len());
            for (i, y) in ys.into_iter().enumerate() {
                out.add(i).write(raw::give(y));
            }
            Ok(())
        })
    }
}

unsafe extern "C" fn outs(ctx: *mut c_void) -> i64 {
    // SAFETY: a lent cell.
    unsafe { raw::see_ctx::<dyn Transition>(ctx) }.outs()
}

static TRANSITION: abi::TransitionVTable =
    abi::TransitionVTable { size: size_of::<abi::TransitionVTable>(), evaluate, outs };

/// Lends the cell to a goal; the answer is valid while `cell` is.
pub(super) fn lend_transition(cell: &&dyn Transition) -> abi::Transition {
    abi::Transition { ctx: raw::ctx(cell), vtable: &raw const TRANSITION }
}

/// The cell of the other side, lent for a call.
pub(super) struct ForeignTransition(abi::Transition);

impl ForeignTransition {
    /// # Safety
    /// `cell` is lent for as long as the result is used.
    pub(super) unsafe fn new(cell: *const abi::Transition) -> Self {
        // SAFETY: by the caller's promise.
        ForeignTransition(unsafe { *cell })
    }
}

impl Transition for ForeignTransition {
    fn evaluate(&self, x: &Tensor, lanes: &[GradPath]) -> Result<Vec<Tensor>> {
        let lanes: Vec<_> = lanes.iter().map(lane_out).collect();
        let mut out = vec![std::ptr::null_mut(); lanes.len()];
        // SAFETY: a lent cell; `x` and the lanes are lent, the results are ours.
        unsafe {
            let evaluate = (*self.0.vtable).evaluate;
            raw::call(|err| {
                evaluate(self.0.ctx, raw::lend(x), lanes.as_ptr(), lanes.len(), out.as_mut_ptr(), err)
            })?;
            out.into_iter().map(|p| raw::take(p)).collect()
        }
    }

    fn outs(&self) -> i64 {
        // SAFETY: a lent cell.
        unsafe { ((*self.0.vtable).outs)(self.0.ctx) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{LayersOf, Matrix, MemoryStore};

    /// A layer's table as it was before it said multiplications.
    #[repr(C)]
    struct Shorter {
        size: usize,
        create: unsafe extern "C" fn(Str, i64, i64, *const abi::Params, *mut *mut c_void, *mut Buf) -> Status,
        forward: unsafe extern "C" fn(
            *mut c_void,
            *const abi::Tensor,
            i64,
            i64,
            *mut *mut abi::Tensor,
            *mut Buf,
        ) -> Status,
        destroy: unsafe extern "C" fn(*mut c_void),
        passes: *const abi::PassesVTable,
        beyond: usize,
    }

    #[test]
    fn a_table_that_is_shorter_or_has_no_such_function_says_no_multiplications() {
        let store = MemoryStore::new(1);
        let crossed = |name: &str, table: *const abi::LayerVTable| {
            let factory = LayersOf::<Matrix>::new(r#"{"vjp": true}"#).unwrap();
            let matrix = factory.make(Size { ins: 4, outs: 3 }, &Params::new(&store).scope(name)).unwrap();
            let abi::LayerObject { this_, vtable } = give_layer(matrix);
            let vtable = if table.is_null() { vtable } else { table };
            // SAFETY: given above, with a table of its functions.
            let layer = unsafe { take_layer(abi::LayerObject { this_, vtable }) }.unwrap();
            let y = layer.forward(&Tensor::ones([2, 4], (tch::Kind::Float, tch::Device::Cpu)), 0..3).unwrap();
            assert_eq!(y.size(), [2, 3]);
            assert!(layer.vjp().is_some());
            layer.multiply_accumulates()
        };
        assert_eq!(crossed("whole", std::ptr::null()), Some(12));
        let abi::LayerVTable { create, forward, destroy, passes, .. } = ONE_LAYER;
        let unknowing = abi::LayerVTable { multiplications: None, ..ONE_LAYER };
        assert_eq!(crossed("null", &raw const unknowing), None);
        let size = offset_of!(Shorter, beyond);
        // What is behind the table's end is no function.
        let shorter = Shorter { size, create, forward, destroy, passes, beyond: 1 };
        assert_eq!(crossed("shorter", (&raw const shorter).cast()), None);
    }
}
