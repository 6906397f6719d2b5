//! The plugin with real environments, and with a package in the place of Gymnasium whose environments do what they must not.

mod driver;
mod faults;
mod packages;
mod real;
