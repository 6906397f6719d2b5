//! The worlds as a host sees them: through `poll`, `act`, `picture`, `save` and `restore` alone.
mod bounce;
mod cartpole;
mod catch;
mod contract;
mod copy;
mod deep_sea;
mod driver;
mod memory;
