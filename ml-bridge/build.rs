//! AVX-512 intrinsics are stable from Rust 1.89: sets `cfg(avx512)` from there on, so that 1.85 builds without.
//! Sets `cfg(neon)` where every processor of the target has NEON.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(avx512)");
    println!("cargo::rustc-check-cfg=cfg(neon)");
    let target = |name: &str, value: &str| env::var(name).is_ok_and(|v| v == value);
    if target("CARGO_CFG_TARGET_ARCH", "aarch64") && target("CARGO_CFG_TARGET_ENDIAN", "little") {
        println!("cargo::rustc-cfg=neon");
    }
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().ok();
    let text = version
        .map(|v| String::from_utf8_lossy(&v.stdout).into_owned())
        .unwrap_or_default();
    let minor = text.split('.').nth(1).and_then(|m| m.parse::<u32>().ok());
    let new_enough = text.starts_with("rustc 1.") && minor.is_some_and(|m| m >= 89);
    if new_enough && env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|a| a == "x86_64") {
        println!("cargo::rustc-cfg=avx512");
    }
}
