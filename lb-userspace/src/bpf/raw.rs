//! The bridge between bytemuck's `Pod` and aya's.
#![expect(unsafe_code, reason = "aya's trait for plain bytes is unsafe to implement")]

/// A map key or value of `lb_common::layout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Raw<T>(pub T);

// SAFETY: bytemuck has checked that `T` is plain bytes without padding, and `Raw` is transparent.
unsafe impl<T: bytemuck::Pod> aya::Pod for Raw<T> {}
