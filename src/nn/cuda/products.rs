//! Products of matrices by cuBLAS, for all members at once.
#![expect(unsafe_code, reason = "cuBLAS takes pointers")]

use std::ffi::c_void;
use std::sync::PoisonError;

use candle_core::cuda::cudarc::cublas::{result as blas, sys as blas_sys};

use super::Gpu;
use crate::device::{Device, Precision};

/// One operand of a product, column-major as cuBLAS has it.
#[derive(Clone, Copy)]
pub(in crate::nn) struct Operand {
    /// Where member 0 begins.
    pub(in crate::nn) pointer: u64,
    /// Numbers from one member to the next.
    pub(in crate::nn) stride: usize,
    /// Numbers from one column to the next.
    pub(in crate::nn) leading: usize,
    /// Whether its transpose is multiplied.
    pub(in crate::nn) transposed: bool,
    /// Whether its numbers are bfloat16, and not f32. Both factors have one dtype; C is f32.
    pub(in crate::nn) narrow: bool,
}

/// C = A B or C += A B, `[m, n]` of `[m, k]` and `[k, n]`, for every member.
#[derive(Clone, Copy)]
pub(in crate::nn) struct Product {
    pub(in crate::nn) members: usize,
    pub(in crate::nn) m: usize,
    pub(in crate::nn) n: usize,
    pub(in crate::nn) k: usize,
    pub(in crate::nn) a: Operand,
    pub(in crate::nn) b: Operand,
    pub(in crate::nn) c: Operand,
    pub(in crate::nn) accumulate: bool,
}

impl Gpu {
    /// A product of matrices by cuBLAS.
    pub(in crate::nn) fn multiply(&self, product: &Product) {
        let Product { members, m, n, k, a, b, c, accumulate } = *product;
        debug_assert!(a.narrow == b.narrow && !c.narrow, "factors of two dtypes");
        if members == 0 || m == 0 || n == 0 || k == 0 {
            return;
        }
        let compute = match self.device() {
            // what is rounded already needs no rounding
            _ if a.narrow => blas_sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
            Device::Cuda(_, Precision::Tf32) => blas_sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
            Device::Cuda(_, Precision::Bf16) => blas_sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_16BF,
            _ => blas_sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
        };
        let operation = |operand: Operand| match operand.transposed {
            true => blas_sys::cublasOperation_t::CUBLAS_OP_T,
            false => blas_sys::cublasOperation_t::CUBLAS_OP_N,
        };
        let (one, kept) = (1.0_f32, if accumulate { 1.0_f32 } else { 0.0 });
        let f32 = blas_sys::cudaDataType_t::CUDA_R_32F;
        let factor = if a.narrow { blas_sys::cudaDataType_t::CUDA_R_16BF } else { f32 };
        self.call("multiply matrices", |live| {
            let handle = live.handle.lock().unwrap_or_else(PoisonError::into_inner);
            let algorithm = blas_sys::cublasGemmAlgo_t::CUBLAS_GEMM_DFALT;
            // one matrix alone may be cut along its sums to fill the chip, which batches may not
            // SAFETY: the operations assert that their buffers hold these sizes; the factors are read
            // before the call returns.
            let multiplied = unsafe {
                if members == 1 {
                    blas::gemm_ex(
                        handle.0,
                        operation(a),
                        operation(b),
                        m as i32,
                        n as i32,
                        k as i32,
                        std::ptr::from_ref(&one).cast(),
                        a.pointer as *const c_void,
                        factor,
                        a.leading as i32,
                        b.pointer as *const c_void,
                        factor,
                        b.leading as i32,
                        std::ptr::from_ref(&kept).cast(),
                        c.pointer as *mut c_void,
                        f32,
                        c.leading as i32,
                        compute,
                        algorithm,
                    )
                } else {
                    blas::gemm_strided_batched_ex(
                        handle.0,
                        operation(a),
                        operation(b),
                        m as i32,
                        n as i32,
                        k as i32,
                        std::ptr::from_ref(&one).cast(),
                        a.pointer as *const c_void,
                        factor,
                        a.leading as i32,
                        a.stride as i64,
                        b.pointer as *const c_void,
                        factor,
                        b.leading as i32,
                        b.stride as i64,
                        std::ptr::from_ref(&kept).cast(),
                        c.pointer as *mut c_void,
                        f32,
                        c.leading as i32,
                        c.stride as i64,
                        members as i32,
                        compute,
                        algorithm,
                    )
                }
            };
            if let Err(error) = multiplied {
                self.fail("multiply matrices", &error);
            }
            Ok(())
        });
    }
}
