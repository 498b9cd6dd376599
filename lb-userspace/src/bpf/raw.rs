//! The two things that need `unsafe`: the bridge between bytemuck's `Pod` and aya's, and a socket
//! option that no crate names yet.
#![expect(unsafe_code, reason = "see above; every other file of the agent does without")]

use nix::libc;
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;

/// A map key or value of `lb_common::layout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Raw<T>(pub T);

// SAFETY: bytemuck has checked that `T` is plain bytes without padding, and `Raw` is transparent.
unsafe impl<T: bytemuck::Pod> aya::Pod for Raw<T> {}

/// The kernel's name of the network namespace that this process is in: `SO_NETNS_COOKIE`
/// (Linux 5.14).
///
/// # Errors
/// The kernel does not have it.
pub fn own_netns_cookie() -> io::Result<u64> {
    let socket = UdpSocket::bind("0.0.0.0:0").or_else(|_| UdpSocket::bind("[::]:0"))?;
    let mut cookie = 0_u64;
    let mut len = 8 as libc::socklen_t;
    // SAFETY: the descriptor is open, and the kernel writes at most `len` bytes to `cookie`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut len,
        )
    };
    if result == 0 { Ok(cookie) } else { Err(io::Error::last_os_error()) }
}
