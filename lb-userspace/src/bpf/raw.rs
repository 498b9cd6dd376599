//! What needs `unsafe`: the bridge between bytemuck's `Pod` and aya's, a socket option that no
//! crate names yet, and a command of bpf(2) that aya does not have.
#![expect(unsafe_code, reason = "see above; every other file of the agent does without")]

use nix::libc;
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd as _, BorrowedFd};

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

/// How many entries are asked for at a time.
const BATCH: u32 = 4_096;

/// The part of `union bpf_attr` (linux/bpf.h) that `BPF_MAP_LOOKUP_BATCH` reads and writes; `from`
/// and `to` are its `in_batch` and `out_batch`.
#[repr(C)]
struct Batch {
    from: u64,
    to: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    elem_flags: u64,
    flags: u64,
}

/// How many entries a hash map has, whose keys and values are as large as told. Asked for in
/// batches: key by key, a map whose entries come and go could be walked without end.
///
/// # Errors
/// The kernel refused a read.
pub(super) fn count(map: BorrowedFd<'_>, key_size: u32, value_size: u32) -> io::Result<usize> {
    /// `BPF_MAP_LOOKUP_BATCH` in linux/bpf.h.
    const LOOKUP_BATCH: libc::c_long = 24;
    let room = |size: u32| vec![0_u8; size.next_multiple_of(8) as usize * BATCH as usize];
    let (mut keys, mut values) = (room(key_size), room(value_size));
    // Where the kernel is: a number of its own.
    let (mut from, mut to) = (0_u64, 0_u64);
    let mut is_first = true;
    let mut total = 0;
    loop {
        let mut batch = Batch {
            from: if is_first { 0 } else { (&raw mut from) as u64 },
            to: (&raw mut to) as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: BATCH,
            map: map.as_raw_fd().cast_unsigned(),
            elem_flags: 0,
            flags: 0,
        };
        // SAFETY: the buffers have room for `count` keys and values of the sizes that the map has,
        // the cursor for more than the four bytes that hash maps use, and all of them outlive the
        // call.
        let result = unsafe {
            libc::syscall(libc::SYS_bpf, LOOKUP_BATCH, &raw mut batch, size_of::<Batch>())
        };
        let error = (result < 0).then(io::Error::last_os_error);
        match error.as_ref().and_then(io::Error::raw_os_error) {
            None => total += batch.count as usize,
            // The last ones.
            Some(libc::ENOENT) => return Ok(total + batch.count as usize),
            Some(_) => return Err(error.unwrap_or_else(io::Error::last_os_error)),
        }
        (from, is_first) = (to, false);
    }
}
