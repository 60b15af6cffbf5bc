//! One CUDA device as this process uses it.
#![expect(unsafe_code, reason = "every call of the driver is unsafe; this file keeps them together")]

use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::sync::{Mutex, OnceLock, PoisonError};

use candle_core::cuda::cudarc::cublas::{result as blas, sys as blas_sys};
use candle_core::cuda::cudarc::driver::result::{self, DriverError};
use candle_core::cuda::cudarc::driver::sys;

use super::tables::Tables;
use crate::device::{Device, Precision};
use crate::nn::Param;

macro_rules! ptx {
    ($name:literal) => {
        concat!(include_str!(concat!(env!("OUT_DIR"), "/", $name, ".ptx")), "\0")
    };
}

/// Every source of kernels, and the kernels that are called.
const MODULES: [(&str, &[&str]); 6] = [
    (
        ptx!("elementwise"),
        &[
            "fill",
            "narrow",
            "residual_add",
            "residual_sum",
            "residual_scaled",
            "residual_add_scaled",
            "zero_rows",
            "fill_rows",
            "repeat_members",
            "repeat_heads",
            "reduce_heads",
            "activation_forward",
            "activation_backward",
            "gated_forward",
            "gated_backward",
        ],
    ),
    (ptx!("norm"), &["norm_forward", "norm_backward", "norm_weights", "column_sums"]),
    (
        ptx!("rows"),
        &[
            "embedding_forward",
            "embedding_backward",
            "gather_rows",
            "scatter_add_rows",
            "scatter_add_distinct",
            "pool_mean",
            "pool_mean_backward",
            "rotate",
            "join",
            "read_windows",
            "add_windows",
            "gather_weighted",
            "scatter_weighted",
            "route_gradients",
            "score_gradients",
        ],
    ),
    (
        ptx!("attention"),
        &[
            "score_product",
            "query_product",
            "key_product",
            "softmax_forward",
            "softmax_backward",
            "add_linear_bias",
            "add_learned_bias",
            "add_met_positions",
            "sum_by_distance",
            "learned_bias_gradient",
        ],
    ),
    (ptx!("loss"), &["cross_entropy", "span_cross_entropy", "weighted_sum"]),
    (ptx!("adam"), &["adam_step", "square_sums"]),
];

/// A device with its stream, kernels and tables; lives as long as the process.
pub(in crate::nn) struct Gpu {
    device: Device,
    live: Option<Live>,
    failure: OnceLock<String>,
}

pub(super) struct Live {
    context: sys::CUcontext,
    stream: sys::CUstream,
    pub(super) handle: Mutex<Handle>,
    kernels: HashMap<&'static str, sys::CUfunction>,
    tables: Mutex<Tables>,
}

pub(super) struct Handle(pub(super) blas_sys::cublasHandle_t);

// SAFETY: the driver's handles may be used from any thread that has made the context its own, which
// `Gpu::call` does before every call; the handle of cuBLAS is used under its lock.
unsafe impl Send for Live {}
unsafe impl Sync for Live {}
unsafe impl Send for Handle {}

thread_local! {
    /// The context that this thread has made its own.
    static CURRENT: Cell<sys::CUcontext> = const { Cell::new(std::ptr::null_mut()) };
}

/// An argument of a kernel. A 32-bit one is stored beside a mark, so that a kernel that reads 64 bits
/// there reads nonsense on every machine.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(in crate::nn) struct Argument(u64);

const MARK: u64 = 0xdead_beef_0000_0000;

impl From<u64> for Argument {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl From<u32> for Argument {
    fn from(number: u32) -> Self {
        Self(u64::from(number) | MARK)
    }
}

impl From<bool> for Argument {
    fn from(flag: bool) -> Self {
        Self::from(u32::from(flag))
    }
}

impl From<f32> for Argument {
    fn from(number: f32) -> Self {
        Self::from(number.to_bits())
    }
}

impl From<f64> for Argument {
    fn from(number: f64) -> Self {
        Self(number.to_bits())
    }
}

/// A number of rows or columns as kernels take it.
///
/// # Panics
/// Beyond 32 bits: the matrix would not fit any device.
pub(in crate::nn) fn word(number: usize) -> u32 {
    u32::try_from(number).expect("no batch has 2^32 rows")
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.device)
    }
}

impl Gpu {
    /// The device as this process uses it, opened at the first call; `None` for the CPU. One that
    /// cannot be opened has a failure.
    pub(in crate::nn) fn of(device: Device) -> Option<&'static Self> {
        static OPEN: Mutex<Vec<&'static Gpu>> = Mutex::new(Vec::new());
        let Device::Cuda(index, _) = device else { return None };
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gpu) = open.iter().find(|gpu| gpu.device == device) {
            return Some(gpu);
        }
        let (live, failure) = match Live::open(index) {
            Ok(live) => (Some(live), OnceLock::new()),
            Err(reason) => (None, OnceLock::from(reason)),
        };
        let gpu: &'static Self = Box::leak(Box::new(Self { device, live, failure }));
        open.push(gpu);
        Some(gpu)
    }

    pub(in crate::nn) fn device(&self) -> Device {
        self.device
    }

    /// Whether linear maps hand their factors over in bfloat16.
    pub(in crate::nn) fn rounds_to_bf16(&self) -> bool {
        self.device.precision() == Precision::Bf16
    }

    /// The first call that was refused, if any.
    pub(in crate::nn) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    pub(super) fn fail(&self, doing: &str, reason: &dyn std::fmt::Debug) {
        // the first one is the cause of the others
        let _ = self.failure.set(format!("{doing}: {reason:?}"));
    }

    /// Calls the driver; `None` where it refuses, or did before.
    pub(super) fn call<T>(
        &self,
        doing: &str,
        call: impl FnOnce(&Live) -> Result<T, DriverError>,
    ) -> Option<T> {
        let live = self.live.as_ref().filter(|_| self.failure.get().is_none())?;
        if CURRENT.get() != live.context {
            // SAFETY: the context is retained for as long as the process lives.
            if let Err(error) = unsafe { result::ctx::set_current(live.context) } {
                self.fail("make the context current", &error);
                return None;
            }
            CURRENT.set(live.context);
        }
        match call(live) {
            Ok(value) => Some(value),
            Err(error) => {
                self.fail(doing, &error);
                None
            }
        }
    }

    /// Memory for so many numbers; 0 where there is none to be had.
    pub(super) fn allocate(&self, numbers: usize) -> u64 {
        let doing = format!("allocate {} MiB", numbers.div_ceil(1 << 18));
        // SAFETY: the stream lives as long as the process; the memory is used on it alone.
        self.call(&doing, |live| unsafe { result::malloc_async(live.stream, numbers * 4) }).unwrap_or(0)
    }

    pub(super) fn free(&self, pointer: u64) {
        // SAFETY: the pointer came from `allocate`, and its only owner is being dropped.
        self.call("free memory", |live| unsafe { result::free_async(pointer, live.stream) });
    }

    /// Copies the host's numbers to the device. Memory that is not pinned has been read when the call
    /// returns.
    pub(super) fn upload<T: Copy>(&self, from: &[T], to: u64) {
        if !from.is_empty() {
            // SAFETY: the caller owns as much memory at `to`.
            self.call("copy to the device", |live| unsafe {
                result::memcpy_htod_async(to, from, live.stream)
            });
        }
    }

    /// Copies numbers to the host, after everything before; false where it failed.
    pub(super) fn download<T: Copy>(&self, from: u64, to: &mut [T]) -> bool {
        to.is_empty()
            // SAFETY: the caller owns as much memory at `from`; `to` outlives the copy, which is waited for.
            || self
                .call("copy to the host", |live| unsafe {
                    result::memcpy_dtoh_async(to, from, live.stream)?;
                    result::stream::synchronize(live.stream)
                })
                .is_some()
    }

    /// Copies numbers within the device.
    pub(super) fn copy(&self, from: u64, to: u64, numbers: usize) {
        if numbers > 0 {
            // SAFETY: the caller owns as much memory at both places.
            self.call("copy on the device", |live| unsafe {
                result::memcpy_dtod_async(to, from, numbers * 4, live.stream)
            });
        }
    }

    /// Sets numbers to zero.
    pub(in crate::nn) fn zero(&self, at: u64, numbers: usize) {
        if numbers > 0 {
            // SAFETY: the caller owns as much memory there; zero bytes are the number zero.
            self.call("set memory", |live| unsafe {
                result::memset_d8_async(at, 0, numbers * 4, live.stream)
            });
        }
    }

    /// Waits for everything before.
    pub(in crate::nn) fn wait(&self) {
        // SAFETY: the stream lives as long as the process.
        self.call("wait for the device", |live| unsafe { result::stream::synchronize(live.stream) });
    }

    /// A table of the host on the device: its place there, 0 if it is empty. It stays for as long as
    /// the operation that asked needs it.
    pub(in crate::nn) fn table(&'static self, words: &[u32]) -> u64 {
        let Some(live) = self.live.as_ref().filter(|_| !words.is_empty()) else { return 0 };
        live.tables.lock().unwrap_or_else(PoisonError::into_inner).find(self, words)
    }

    /// Launches a kernel over a grid of blocks; nothing if the grid is empty. The arguments are those
    /// that the kernel declares, by number and size.
    pub(in crate::nn) fn launch(
        &self,
        kernel: &'static str,
        grid: [u32; 3],
        block: [u32; 2],
        arguments: &[Argument],
    ) {
        if grid.contains(&0) {
            return;
        }
        let mut places: Vec<*mut c_void> =
            arguments.iter().map(|argument| std::ptr::from_ref(argument).cast_mut().cast()).collect();
        self.call(kernel, |live| {
            let Some(function) = live.kernels.get(kernel) else {
                return Err(DriverError(sys::CUresult::CUDA_ERROR_NOT_FOUND));
            };
            let (grid, block) = ((grid[0], grid[1], grid[2]), (block[0], block[1], 1));
            // SAFETY: the tests call every kernel with these arguments; buffers have the sizes that the
            // operation asserts.
            unsafe { result::launch_kernel(*function, grid, block, 0, live.stream, &mut places) }
        });
    }

    /// One number a thread, `n` of them, at most a few blocks for each processor of a large chip.
    pub(in crate::nn) fn launch_each(&self, kernel: &'static str, n: usize, arguments: &[Argument]) {
        let blocks = n.div_ceil(super::THREADS as usize).min(1 << 14) as u32;
        self.launch(kernel, [blocks, 1, 1], [super::THREADS, 1], arguments);
    }

    /// Rows by grid's y, columns by its x.
    pub(in crate::nn) fn launch_rows(
        &self,
        kernel: &'static str,
        (rows, width): (usize, usize),
        arguments: &[Argument],
    ) {
        let threads = (width.div_ceil(32) * 32).min(super::THREADS as usize) as u32;
        let grid = [word(width).div_ceil(threads.max(1)), rows.min(MOST_ROWS) as u32, 1];
        self.launch(kernel, grid, [threads, 1], arguments);
    }

    /// Every row of `to` `[members, rows, width]` becomes its member's bias.
    pub(in crate::nn) fn fill_rows(&self, bias: Param<'_>, [members, rows, width]: [usize; 3], to: u64) {
        let total = members * rows;
        let sizes = [rows, total, width].map(word);
        let arguments = arguments![to, bias.pointer(), bias.stride() as u64, sizes[0], sizes[1], sizes[2]];
        self.launch_rows("fill_rows", (total, width), arguments);
    }
}

/// Most blocks along a grid's y and z.
const MOST_ROWS: usize = 65_535;

impl Live {
    fn open(index: usize) -> Result<Self, String> {
        let said = |doing: &'static str| move |error: DriverError| format!("{doing}: {error:?}");
        result::init().map_err(said("start the driver"))?;
        let device = result::device::get(index as i32).map_err(said("find the device"))?;
        // SAFETY: the device is the driver's own answer, and everything made of it here is kept for as
        // long as the process lives; the PTX texts end in a zero byte.
        unsafe {
            let context = result::primary_ctx::retain(device).map_err(said("open the device"))?;
            result::ctx::set_current(context).map_err(said("make the context current"))?;
            CURRENT.set(context);
            let stream = result::stream::create(result::stream::StreamKind::NonBlocking)
                .map_err(said("make a stream"))?;

            // freed memory stays with the process: giving it back at every wait costs milliseconds
            let pool = result::device::get_default_mem_pool(device).map_err(said("find the memory pool"))?;
            let mut keep = u64::MAX;
            let threshold = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
            result::mem_pool::set_attribute(pool, threshold, std::ptr::from_mut(&mut keep).cast())
                .map_err(said("set the memory pool"))?;

            let mut kernels = HashMap::new();
            for (ptx, names) in MODULES {
                let module =
                    result::module::load_data(ptx.as_ptr().cast()).map_err(said("load the kernels"))?;
                for name in names {
                    let text = CString::new(*name).map_err(|error| error.to_string())?;
                    let function =
                        result::module::get_function(module, text).map_err(said("find a kernel"))?;
                    kernels.insert(*name, function);
                }
            }

            let handle = blas::create_handle().map_err(|error| format!("start cuBLAS: {error:?}"))?;
            blas::set_stream(handle, stream.cast()).map_err(|error| format!("start cuBLAS: {error:?}"))?;
            let tables = Mutex::new(Tables::default());
            Ok(Self { context, stream, handle: Mutex::new(Handle(handle)), kernels, tables })
        }
    }
}

/// The arguments of a kernel in its order: `u64` for pointers and long counts, `u32`, `f32`, `f64`.
macro_rules! arguments {
    ($($argument:expr),* $(,)?) => {
        &[$($crate::nn::cuda::Argument::from($argument)),*]
    };
}
pub(in crate::nn) use arguments;
