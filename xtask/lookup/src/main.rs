//! `lookup NAME`: the addresses of a name, one a line, as the C library finds them.
//!
//! Which C library that is, the target says: built for `*-linux-musl` it has musl's resolver in it,
//! so that a demo on a machine with glibc has a client that reads `resolv.conf` and asks as programs
//! of an Alpine image do. The standard library calls `getaddrinfo` and nothing else; there are no
//! dependencies that could ask by themselves.

use std::env;
use std::net::ToSocketAddrs;
use std::process::ExitCode;

/// Wrong usage, and a name that was not found: the exit codes of getent.
const USAGE: u8 = 1;
const NOT_FOUND: u8 = 2;

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let (Some(name), None) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: lookup NAME");
        return ExitCode::from(USAGE);
    };
    match (name.as_str(), 0).to_socket_addrs() {
        Ok(found) => {
            found.for_each(|addr| println!("{}", addr.ip()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(NOT_FOUND)
        }
    }
}
