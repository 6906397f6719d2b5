//! The five kinds of plugin: how what each is made from crosses the boundary.
use super::call::Caller;
use super::cross::{Arg, Ret, check_size, device_number, device_of};
use super::lists::read_str;
use crate::layer::layer_factory::Proxy as FactoryProxy;
use crate::params::param_store::Proxy as StoreProxy;
use crate::trainer::agent_builder::Proxy as BuilderProxy;
use crate::{
    AgentBuilder, Cell, CellSetup, Environment, EnvironmentSetup, Goal, GoalSetup, IntoKind, Layer,
    LayerFactory, LayerSetup, ParamStore, Params, PluginKind, Result, RewardRange, Spaces, Trainer,
    TrainerSetup,
};
use efference_abi::{self as abi, Object, Slice, Str};
use std::path::PathBuf;

/// Implements [`PluginKind`] for a trait object: its module from `interface!`, its setup, and how that crosses.
macro_rules! kind {
    (
        $Trait:ident in $module:ident, $Setup:ty as $Raw:ident,
        lend |$setup:ident, $lend:ident| $lent:expr,
        see |$raw:ident, $see:ident| $seen:expr
    ) => {
        impl PluginKind for dyn $Trait {
            const KIND: abi::Kind = abi::Kind::$Trait;
            type Setup<'a> = $Setup;
            type RawSetup = abi::$Raw;
            type Table = crate::$module::$module::Table;

            fn lend_setup<R>(
                $setup: &Self::Setup<'_>,
                $lend: impl FnOnce(*const Self::RawSetup) -> Result<R>,
            ) -> Result<R> {
                $lent
            }

            unsafe fn see_setup<R>(
                setup: *const Self::RawSetup,
                $see: impl FnOnce(&Self::Setup<'_>) -> Result<R>,
            ) -> Result<R> {
                // SAFETY: a borrowed setup, with all that it points to.
                unsafe {
                    check_size(setup, concat!("setup of a ", stringify!($module)))?;
                    let $raw = &*setup;
                    $seen
                }
            }

            fn into_raw(object: Box<Self>) -> Object<Self::Table> {
                crate::$module::$module::into_raw(object)
            }

            unsafe fn from_raw(object: Object<Self::Table>, caller: Caller) -> Result<Box<Self>> {
                // SAFETY: by the caller's promise.
                unsafe { crate::$module::$module::from_raw(object, caller) }
            }
        }

        impl<P: $Trait + 'static> IntoKind<dyn $Trait> for Box<P> {
            fn into_kind(self) -> Box<dyn $Trait> {
                self
            }
        }
    };
}

kind! {
    Layer in layer, LayerSetup<'a> as LayerSetup,
    lend |setup, f| {
        let mut store = Arg::as_raw(&mut (&setup.params as &dyn ParamStore));
        let (size, features) = (size_of::<abi::LayerSetup>(), setup.size);
        f(&abi::LayerSetup { size, features, params: <&dyn ParamStore>::abi(&mut store) })
    },
    see |raw, f| {
        let store = StoreProxy::new(raw.params, Caller::default(), false)?;
        f(&LayerSetup { size: raw.features, params: Params::new(&store) })
    }
}

kind! {
    Cell in cell, CellSetup<'a> as CellSetup,
    lend |setup, f| {
        let mut store = Arg::as_raw(&mut (&setup.params as &dyn ParamStore));
        let mut layers = Arg::as_raw(&mut { setup.layers });
        f(&abi::CellSetup {
            size: size_of::<abi::CellSetup>(),
            features: setup.size,
            observation: setup.observation.clone().into_raw(),
            action: setup.action.clone().into_raw(),
            layers: <&dyn LayerFactory>::abi(&mut layers),
            params: <&dyn ParamStore>::abi(&mut store),
        })
    },
    see |raw, f| {
        let store = StoreProxy::new(raw.params, Caller::default(), false)?;
        let layers = FactoryProxy::new(raw.layers, Caller::default(), false)?;
        f(&CellSetup {
            size: raw.features,
            observation: raw.observation.start..raw.observation.end,
            action: raw.action.start..raw.action.end,
            layers: &layers,
            params: Params::new(&store),
        })
    }
}

kind! {
    Goal in goal, GoalSetup<'a> as GoalSetup,
    lend |setup, f| {
        let mut store = Arg::as_raw(&mut (&setup.params as &dyn ParamStore));
        let mut layers = Arg::as_raw(&mut { setup.layers });
        lend_spaces(setup.spaces, |spaces| {
            f(&abi::GoalSetup {
                size: size_of::<abi::GoalSetup>(),
                state_size: setup.state_size,
                spaces,
                layers: <&dyn LayerFactory>::abi(&mut layers),
                params: <&dyn ParamStore>::abi(&mut store),
            })
        })
    },
    see |raw, f| {
        let store = StoreProxy::new(raw.params, Caller::default(), false)?;
        let layers = FactoryProxy::new(raw.layers, Caller::default(), false)?;
        let spaces = see_spaces(raw.spaces)?;
        f(&GoalSetup {
            state_size: raw.state_size,
            spaces: spaces.as_ref(),
            layers: &layers,
            params: Params::new(&store),
        })
    }
}

kind! {
    Trainer in trainer, TrainerSetup<'a> as TrainerSetup,
    lend |setup, f| {
        let mut agent = Arg::as_raw(&mut { setup.agent });
        lend_spaces(setup.spaces, |spaces| {
            f(&abi::TrainerSetup {
                size: size_of::<abi::TrainerSetup>(),
                state_size: setup.state_size,
                reserved: setup.reserved,
                device: device_number(setup.device),
                spaces,
                agent: <&dyn AgentBuilder>::abi(&mut agent),
            })
        })
    },
    see |raw, f| {
        let agent = BuilderProxy::new(raw.agent, Caller::default(), false)?;
        let spaces = see_spaces(raw.spaces)?;
        f(&TrainerSetup {
            state_size: raw.state_size,
            reserved: raw.reserved,
            device: device_of(raw.device),
            spaces: spaces.as_ref(),
            agent: &agent,
        })
    }
}

kind! {
    Environment in environment, EnvironmentSetup as EnvironmentSetup,
    lend |setup, f| {
        let directory = setup.run_directory.as_ref().map(|d| d.to_string_lossy().into_owned());
        let run_directory = Str::new(directory.as_deref().unwrap_or_default());
        f(&abi::EnvironmentSetup { size: size_of::<abi::EnvironmentSetup>(), seed: setup.seed, run_directory })
    },
    see |raw, f| {
        let directory = read_str(raw.run_directory);
        let run_directory = (!directory.is_empty()).then(|| PathBuf::from(directory));
        f(&EnvironmentSetup { seed: raw.seed, run_directory })
    }
}

/// Borrows spaces for the length of `f`; null if they are not known.
fn lend_spaces<R>(spaces: Option<&Spaces>, f: impl FnOnce(*const abi::Spaces) -> Result<R>) -> Result<R> {
    let Some(spaces) = spaces else { return f(std::ptr::null()) };
    let mut actions = spaces.actions.clone();
    let raw = abi::Spaces {
        size: size_of::<abi::Spaces>(),
        known: true,
        observation: spaces.observation,
        actions: abi::List { ptr: actions.as_mut_ptr(), len: actions.len(), ..abi::List::EMPTY },
        reward_min: spaces.reward.min,
        reward_max: spaces.reward.max,
    };
    f(&raw)
}

/// # Safety
/// `raw` is null, or borrowed spaces.
unsafe fn see_spaces(raw: *const abi::Spaces) -> Result<Option<Spaces>> {
    if raw.is_null() {
        return Ok(None);
    }
    // SAFETY: by the caller's promise.
    unsafe {
        check_size(raw, "description of spaces")?;
        let raw = &*raw;
        let mut groups = Slice { ptr: raw.actions.ptr.cast_const(), len: raw.actions.len };
        let actions: &[abi::ActionGroup] = Arg::get(&mut groups);
        let reward = RewardRange { min: raw.reward_min, max: raw.reward_max };
        Ok(raw.known.then(|| Spaces { observation: raw.observation, actions: actions.to_vec(), reward }))
    }
}
