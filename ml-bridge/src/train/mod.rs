//! Training of small autoencoders on the device.

pub mod network;
