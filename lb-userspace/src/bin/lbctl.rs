//! `lbctl`: looks at a node's datapath through its pinned maps.

use lb_userspace::cli::lbctl::{Console, run};
use std::io::{BufWriter, stderr, stdout};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut out = BufWriter::new(stdout().lock());
    let mut err = stderr().lock();
    run(std::env::args_os(), &mut Console::of_process(&mut out, &mut err))
}
