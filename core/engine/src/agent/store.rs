//! The parameter store: every tensor that a component keeps, under its name.
use super::rehearsal::Rehearsal;
use efference_sdk::autograd::{HeldLeaf, is_non_overlapping_and_dense};
use efference_sdk::{ParamStore, Result, bail, derive_seed, ensure};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

/// A tensor of the store.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) tensor: Tensor,
    pub(super) trainable: bool,
    /// Autograd's node of it, so that it is not made anew at each step.
    _leaf: Option<HeldLeaf>,
}

/// Tensors that are counted; what has more would take seconds to make, and a step as long.
pub(super) const MOST_COUNTED: usize = 50_000;

/// Parameters with their names.
type Trained = Rc<[(String, Tensor)]>;

/// All parameters and buffers of an agent, in the order of their making. The part that a tensor belongs to is
/// the beginning of its name: `cell.z.layer.0.weight.1` belongs to `cell`.
pub struct ParameterStore {
    seed: u64,
    device: Device,
    /// If it only counts: see [`ParameterStore::counting`].
    rehearsal: Option<Arc<Rehearsal>>,
    entries: RefCell<Vec<Entry>>,
    /// Where each name is in `entries`.
    places: RefCell<BTreeMap<String, usize>>,
    /// Answers of [`trained`](Self::trained), which is asked several times a step; emptied when something is added.
    trained: RefCell<HashMap<String, Trained>>,
}

impl ParameterStore {
    /// An empty store on a device; `seed` is the experiment's.
    pub fn new(seed: u64, device: Device) -> Self {
        ParameterStore {
            seed,
            device,
            rehearsal: None,
            entries: RefCell::default(),
            places: RefCell::default(),
            trained: RefCell::default(),
        }
    }

    /// A store that takes parameters to count them: most come as stand-ins without memory of their own
    /// ([`ParamStore::only_counts`]), and all stay as they come. After [`MOST_COUNTED`] it takes no more.
    pub(super) fn counting(seed: u64, rehearsal: Arc<Rehearsal>) -> Self {
        ParameterStore { rehearsal: Some(rehearsal), ..ParameterStore::new(seed, Device::Cpu) }
    }

    /// Calls `f` with each tensor whose name begins with `prefix`: name, tensor, whether it is trained.
    pub(super) fn for_each(&self, prefix: &str, mut f: impl FnMut(&Entry) -> Result<()>) -> Result<()> {
        self.entries.borrow().iter().filter(|e| e.name.starts_with(prefix)).try_for_each(&mut f)
    }

    /// The trained parameters whose names begin with `prefix`.
    pub fn trained(&self, prefix: &str) -> Trained {
        if let Some(trained) = self.trained.borrow().get(prefix) {
            return trained.clone();
        }
        let entries = self.entries.borrow();
        let trained = entries.iter().filter(|e| e.trainable && e.name.starts_with(prefix));
        let trained: Trained = trained.map(|e| (e.name.clone(), e.tensor.shallow_clone())).collect();
        self.trained.borrow_mut().insert(prefix.to_owned(), trained.clone());
        trained
    }

    /// Takes over the values of saved tensors, as far as they fit. Returns what did not: tensors of another shape or type,
    /// and those that only one side has.
    pub(super) fn restore(&self, saved: &[(String, Tensor)]) -> Result<Vec<String>> {
        let mut misfits = Vec::new();
        let mut by_name: HashMap<&str, &Tensor> = saved.iter().map(|(name, t)| (name.as_str(), t)).collect();
        tch::no_grad(|| {
            self.for_each("", |entry| {
                let (name, own) = (&entry.name, &entry.tensor);
                match by_name.remove(name.as_str()) {
                    None => misfits.push(format!("'{name}' was not saved")),
                    Some(t) if t.size() != own.size() || t.kind() != own.kind() => misfits.push(format!(
                        "'{name}' was saved as {:?} {:?}, and is {:?} {:?} here",
                        t.kind(),
                        t.size(),
                        own.kind(),
                        own.size()
                    )),
                    Some(t) => own.shallow_clone().f_copy_(t)?,
                }
                Ok(())
            })
        })?;
        let more = saved.iter().filter(|(name, _)| by_name.contains_key(name.as_str()));
        misfits.extend(more.map(|(name, _)| format!("'{name}' was saved, and is not there")));
        Ok(misfits)
    }

    /// How many elements are trained.
    pub fn trained_count(&self) -> i64 {
        self.entries.borrow().iter().filter(|e| e.trainable).map(|e| e.tensor.numel() as i64).sum()
    }
}

/// Bytes of a tensor's elements, if each has a place of its own.
pub(super) fn bytes_of(tensor: &Tensor) -> u64 {
    (tensor.numel() as u64).saturating_mul(tensor.kind().elt_size_in_bytes() as u64)
}

impl ParamStore for ParameterStore {
    fn add(&self, name: &str, init: Tensor, trainable: bool) -> Result<Tensor> {
        ensure!(!name.is_empty(), "a parameter needs a name");
        ensure!(
            !self.places.borrow().contains_key(name),
            "there is a parameter '{name}' already; give each its own name, or a scope of its own"
        );
        ensure!(
            init.kind() == Kind::Float || !trainable,
            "parameter '{name}' holds {:?} instead of 32-bit floats; only a buffer may hold others",
            init.kind()
        );
        let init = init.f_detach()?;
        let init = match &self.rehearsal {
            None => {
                // The maker's order of dims is kept.
                let init = init.f_to_device(self.device)?;
                if is_non_overlapping_and_dense(&init) { init } else { init.f_contiguous()? }
            }
            Some(rehearsal) if self.entries.borrow().len() == MOST_COUNTED => {
                rehearsal.overflow();
                bail!("it has more than {MOST_COUNTED} parameters and buffers");
            }
            Some(rehearsal) => {
                rehearsal.add(bytes_of(&init));
                init
            }
        };
        let tensor = init.f_set_requires_grad(trainable)?;
        let shared = tensor.shallow_clone();
        self.trained.borrow_mut().clear();
        let mut entries = self.entries.borrow_mut();
        self.places.borrow_mut().insert(name.to_owned(), entries.len());
        entries.push(Entry { name: name.to_owned(), _leaf: HeldLeaf::new(&tensor), tensor, trainable });
        Ok(shared)
    }

    fn seed(&self, name: &str) -> Result<u64> {
        Ok(derive_seed(self.seed, name))
    }

    fn list(&self, prefix: &str) -> Result<Vec<(String, Tensor)>> {
        let (places, entries) = (self.places.borrow(), self.entries.borrow());
        let found = places.range(prefix.to_owned()..).take_while(|(name, _)| name.starts_with(prefix));
        let mut found: Vec<usize> = found.map(|(_, place)| *place).collect();
        found.sort_unstable();
        let tensor = |place: usize| (entries[place].name.clone(), entries[place].tensor.shallow_clone());
        Ok(found.into_iter().map(tensor).collect())
    }

    fn device(&self) -> Result<Device> {
        Ok(self.device)
    }

    fn only_counts(&self) -> Result<bool> {
        Ok(self.rehearsal.is_some())
    }
}
