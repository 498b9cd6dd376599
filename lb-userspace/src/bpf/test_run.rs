//! Packets through loaded programs by `BPF_PROG_TEST_RUN`, without a network.

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::programs::{TestRun as _, TestRunOptions};

use super::loader;

/// What a program did with a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The action that it returned (`XDP_*`, `TC_ACT_*`).
    pub action: u32,
    /// The frame afterwards.
    pub frame: Vec<u8>,
}

/// The programs that take frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// XDP.
    Xdp,
    /// TC ingress.
    TcIngress,
    /// TC egress.
    TcEgress,
}

/// Runs the program of a hook over `frame`, as if it came in by the loopback link (index 1).
///
/// # Errors
/// The kernel refused the run: the frame is shorter than an Ethernet header, or the program is
/// not loaded.
pub fn run(ebpf: &mut Ebpf, hook: Hook, frame: &[u8]) -> Result<Output> {
    const ROOM: usize = 256;
    let mut out = vec![0; frame.len() + ROOM];
    let options =
        TestRunOptions { data_in: Some(frame), data_out: Some(&mut out), ..TestRunOptions::new() };
    let result = match hook {
        Hook::Xdp => loader::xdp(ebpf)?.test_run(options),
        Hook::TcIngress => loader::tc(ebpf, loader::TC_INGRESS)?.test_run(options),
        Hook::TcEgress => loader::tc(ebpf, loader::TC_EGRESS)?.test_run(options),
    }
    .with_context(|| format!("running {hook:?} over a frame of {} bytes", frame.len()))?;
    out.truncate(result.data_size_out as usize);
    Ok(Output { action: result.return_value, frame: out })
}
