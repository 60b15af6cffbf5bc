// Stands in for libcuda and libcublas: memory of the host with a guard page behind every allocation,
// kernels compiled for the host, products by plain loops. Whatever a real driver would refuse ends the
// program or gives an error. x86-64 Linux. With PIFI_TRAFFIC memory is that of traffic.cpp, without guards,
// and products are not computed: it counts what happens.
#include "emulated.h"
#ifdef PIFI_TRAFFIC
#include "traffic.h"
#endif
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <sys/mman.h>
#include <vector>

Index threadIdx, blockIdx, blockDim, gridDim;

namespace emulated {
uint64_t exchanged[1024];

namespace {
enum class Wait { ready, block, warp, done };

struct Fibre {
    Wait wait;
    void *stack_pointer;
    char *stack;
    Index index;
};

struct Function {
    std::string name;
    const void *function;
    Call call;
};

constexpr size_t STACK = 64 * 1024;
std::vector<char *> free_stacks;
std::vector<Fibre> fibres;
unsigned running;
void *scheduler;
const Function *launched;
void **arguments;

std::map<std::string, Function> &functions() {
    static std::map<std::string, Function> all;
    return all;
}

[[noreturn]] void refuse(const char *what) {
    std::fprintf(stderr, "emulated kernel %s: %s\n", launched ? launched->name.c_str() : "none", what);
    std::abort();
}
} // namespace

extern "C" void emulated_switch(void **save, void *to);
asm(R"(
.text
.globl emulated_switch
.hidden emulated_switch
.type emulated_switch,@function
emulated_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size emulated_switch,.-emulated_switch
)");

static void suspend(Wait wait) {
    fibres[running].wait = wait;
    emulated_switch(&fibres[running].stack_pointer, scheduler);
}

static void fibre_main() {
    launched->call(launched->function, arguments);
    suspend(Wait::done);
}

void block_barrier() { suspend(Wait::block); }
void warp_barrier() { suspend(Wait::warp); }
unsigned thread() { return running; }

void announce(const char *name, const void *function, Call call) {
    functions()[name] = Function{name, function, call};
}

static void resume(unsigned number) {
    Fibre &fibre = fibres[number];
    if (!fibre.stack) {
        if (free_stacks.empty()) free_stacks.push_back((char *)std::aligned_alloc(16, STACK));
        fibre.stack = free_stacks.back();
        free_stacks.pop_back();
        void **top = (void **)(fibre.stack + STACK);
        top[-1] = nullptr;
        top[-2] = (void *)fibre_main;
        std::fill(top - 8, top - 2, nullptr);
        fibre.stack_pointer = top - 8;
    }
    running = number;
    threadIdx = fibre.index;
    emulated_switch(&scheduler, fibre.stack_pointer);
    if (fibre.wait == Wait::done) {
        free_stacks.push_back(fibre.stack);
        fibre.stack = nullptr;
    }
}

static void run_block(unsigned round) {
    unsigned threads = blockDim.x * blockDim.y * blockDim.z;
    fibres.assign(threads, Fibre{Wait::ready, nullptr, nullptr, {}});
    for (unsigned t = 0; t < threads; t++)
        fibres[t].index = {t % blockDim.x, t / blockDim.x % blockDim.y, t / blockDim.x / blockDim.y};
    auto waiting = [&](unsigned from, unsigned to, Wait wait) {
        return (unsigned)std::count_if(fibres.begin() + from, fibres.begin() + to, [&](const Fibre &f) { return f.wait == wait; });
    };
    while (waiting(0, threads, Wait::done) < threads) {
        bool moved = false;
        round++;
        for (unsigned i = 0; i < threads; i++) {
            unsigned t = round % 2 ? i : threads - 1 - i;
            if (fibres[t].wait == Wait::ready) {
                moved = true;
                resume(t);
            }
        }
        for (unsigned from = 0; from < threads; from += 32) {
            unsigned to = std::min(from + 32, threads), here = waiting(from, to, Wait::warp);
            if (here == 0) continue;
            if (waiting(from, to, Wait::done)) refuse("a lane left before a shuffle of its warp");
            if (to - from < 32) refuse("a shuffle in a warp that is not whole");
            if (here < to - from) continue;
            moved = true;
            for (unsigned t = from; t < to; t++) fibres[t].wait = Wait::ready;
        }
        unsigned at_barrier = waiting(0, threads, Wait::block);
        if (at_barrier && waiting(0, threads, Wait::done)) refuse("a thread left before a barrier of its block");
        if (at_barrier == threads) {
            moved = true;
            for (Fibre &fibre : fibres) fibre.wait = Wait::ready;
        }
        if (!moved) refuse("its threads wait for each other");
    }
}
} // namespace emulated

using namespace emulated;

static std::mutex one_at_a_time;

struct Allocation {
    void *map;
    size_t bytes;
};
static std::map<uint64_t, Allocation> allocations;

enum { SUCCESS = 0, INVALID_VALUE = 1, NOT_FOUND = 500 };
#define API extern "C" __attribute__((visibility("default"))) int

API cuInit(unsigned) { return SUCCESS; }
API cuDeviceGetCount(int *count) {
    const char *wanted = std::getenv("EMULATED_DEVICES");
    *count = wanted ? std::atoi(wanted) : 1;
    return SUCCESS;
}
API cuDeviceGet(int *device, int ordinal) {
    int count;
    cuDeviceGetCount(&count);
    *device = ordinal;
    return ordinal < count ? SUCCESS : 101;
}
API cuDeviceGetName(char *name, int len, int) { return std::snprintf(name, len, "emulated on the host") < 0; }
API cuDevicePrimaryCtxRetain(void **context, int) { return *context = (void *)1, SUCCESS; }
API cuCtxSetCurrent(void *) { return SUCCESS; }
API cuStreamCreate(void **stream, unsigned) { return *stream = (void *)1, SUCCESS; }
API cuStreamSynchronize(void *) { return SUCCESS; }
API cuDeviceGetDefaultMemPool(void **pool, int) { return *pool = (void *)1, SUCCESS; }
API cuMemPoolSetAttribute(void *, int, void *) { return SUCCESS; }
API cuGetErrorString(int error, const char **text) { return *text = error == INVALID_VALUE ? "invalid value" : "error", SUCCESS; }
API cuGetErrorName(int error, const char **text) { return cuGetErrorString(error, text); }
API cuModuleLoadData(void **module, const void *) { return *module = (void *)1, SUCCESS; }

API cuModuleGetFunction(void **function, void *, const char *name) {
    auto found = functions().find(name);
    if (found == functions().end()) return NOT_FOUND;
    *function = &found->second;
    return SUCCESS;
}

#ifdef PIFI_TRAFFIC
API cuDeviceTotalMem_v2(size_t *bytes, int) { return *bytes = (size_t)139 << 30, SUCCESS; }

API cuMemAllocAsync(uint64_t *pointer, size_t bytes, void *) {
    if (bytes == 0) return INVALID_VALUE;
    *pointer = (uint64_t)traffic::take(bytes);
    return *pointer ? SUCCESS : 2;
}

API cuMemFreeAsync(uint64_t pointer, void *) { return traffic::give((void *)pointer) ? SUCCESS : INVALID_VALUE; }

// A call that moves or sets memory.
static void count(const char *name, uint64_t from, uint64_t to, size_t bytes) {
    traffic::begin(name);
    traffic::touch((const void *)from, bytes, false);
    traffic::touch((const void *)to, bytes, true);
}
#else
API cuDeviceTotalMem_v2(size_t *bytes, int) { return *bytes = (size_t)1 << 33, SUCCESS; }

// What is read before it is written is NaN; what lies behind ends the program.
API cuMemAllocAsync(uint64_t *pointer, size_t bytes, void *) {
    if (bytes == 0) return INVALID_VALUE;
    std::lock_guard<std::mutex> lock(one_at_a_time);
    size_t page = 4096, whole = (bytes + page - 1) / page * page;
    char *map = (char *)mmap(nullptr, whole + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) return 2;
    mprotect(map + whole, page, PROT_NONE);
    std::memset(map, 0xff, whole);
    *pointer = (uint64_t)(map + whole - bytes) & ~(uint64_t)7;
    allocations[*pointer] = {map, whole + page};
    return SUCCESS;
}

API cuMemFreeAsync(uint64_t pointer, void *) {
    std::lock_guard<std::mutex> lock(one_at_a_time);
    auto found = allocations.find(pointer);
    if (found == allocations.end()) return INVALID_VALUE;
    munmap(found->second.map, found->second.bytes);
    allocations.erase(found);
    return SUCCESS;
}

static void count(const char *, uint64_t, uint64_t, size_t) {}
#endif

API cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, void *) {
    count("copy to the device", 0, to, bytes);
    return std::memcpy((void *)to, from, bytes), SUCCESS;
}
API cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, void *) {
    count("copy to the host", from, 0, bytes);
    return std::memcpy(to, (void *)from, bytes), SUCCESS;
}
API cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void *) {
    count("copy on the device", from, to, bytes);
    return std::memcpy((void *)to, (void *)from, bytes), SUCCESS;
}
API cuMemsetD8Async(uint64_t to, unsigned char value, size_t bytes, void *) {
    count("set memory", 0, to, bytes);
    return std::memset((void *)to, value, bytes), SUCCESS;
}

API cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
    unsigned, void *, void **parameters, void **) {
    if (!gx || !gy || !gz || !bx || !by || !bz || gx > 0x7fffffffu || gy > 65535 || gz > 65535) return INVALID_VALUE;
    if (bx * by * bz > 1024) return INVALID_VALUE;
    std::lock_guard<std::mutex> lock(one_at_a_time);
    launched = (const Function *)function;
#ifdef PIFI_TRAFFIC
    traffic::begin(launched->name.c_str());
#endif
    arguments = parameters;
    gridDim = {gx, gy, gz};
    blockDim = {bx, by, bz};
    for (blockIdx.z = 0; blockIdx.z < gz; blockIdx.z++)
        for (blockIdx.y = 0; blockIdx.y < gy; blockIdx.y++)
            for (blockIdx.x = 0; blockIdx.x < gx; blockIdx.x++) run_block(blockIdx.x + blockIdx.y);
    launched = nullptr;
    return SUCCESS;
}

API cublasCreate_v2(void **handle) { return *handle = (void *)1, SUCCESS; }
API cublasSetStream_v2(void *, void *) { return SUCCESS; }
API cublasSetMathMode(void *, int) { return SUCCESS; }

constexpr int R_32F = 0, R_16BF = 14;

// One number of a factor.
static double factor(const void *numbers, int type, size_t place) {
    if (type == R_32F) return ((const float *)numbers)[place];
    uint32_t bits = (uint32_t)((const uint16_t *)numbers)[place] << 16;
    float number;
    return std::memcpy(&number, &bits, 4), number;
}

// Factors of f32 or of bfloat16; column-major, sums in f64.
API cublasGemmStridedBatchedEx(void *, int op_a, int op_b, int m, int n, int k, const void *alpha, const void *a_, int a_type,
    int lda, long long stride_a, const void *b_, int b_type, int ldb, long long stride_b, const void *beta, void *c_, int c_type,
    int ldc, long long stride_c, int batch, int, int) {
    int bad = (a_type != R_32F && a_type != R_16BF) || a_type != b_type || c_type != R_32F || m < 0 || n < 0 || k < 0 || batch < 0 || lda < std::max(1, op_a ? k : m) ||
        ldb < std::max(1, op_b ? n : k) || ldc < std::max(1, m);
    if (bad) return 7;
    float by = *(const float *)alpha, keep = *(const float *)beta;
#ifdef PIFI_TRAFFIC
    static const char *names[] = {"product, f32", "product, bf16", "product, f32, added", "product, bf16, added"};
    traffic::begin(names[(a_type == R_16BF) + 2 * (keep != 0.0f)]);
    for (int batched = 0; batched < batch; batched++) {
        size_t number = a_type == R_16BF ? 2 : 4;
        for (int column = 0; column < (op_a ? m : k); column++)
            traffic::touch((const char *)a_ + number * (batched * stride_a + (size_t)column * lda), number * (op_a ? k : m), false);
        for (int column = 0; column < (op_b ? k : n); column++)
            traffic::touch((const char *)b_ + number * (batched * stride_b + (size_t)column * ldb), number * (op_b ? n : k), false);
        for (int column = 0; column < n; column++) {
            const char *c = (const char *)c_ + 4 * (batched * stride_c + (size_t)column * ldc);
            traffic::touch(c, 4 * (size_t)m, true);
            if (keep != 0.0f) traffic::touch(c, 4 * (size_t)m, false);
        }
    }
    traffic::add_flops(2.0 * m * n * k * batch);
    // some number that is not zero: Adam passes over gradients that are
    if (keep == 0.0f)
        for (int batched = 0; batched < batch; batched++)
            for (int column = 0; column < n; column++)
                std::fill_n((float *)c_ + batched * stride_c + (size_t)column * ldc, m, 1e-3f * by);
    return SUCCESS;
#endif
    std::vector<double> left((size_t)m * k);
    for (int batched = 0; batched < batch; batched++) {
        auto a = [&](size_t place) { return factor(a_, a_type, batched * stride_a + place); };
        auto b = [&](size_t place) { return factor(b_, b_type, batched * stride_b + place); };
        float *c = (float *)c_ + batched * stride_c;
        for (int i = 0; i < m; i++)
            for (int s = 0; s < k; s++) left[(size_t)i * k + s] = op_a ? a(s + (size_t)i * lda) : a(i + (size_t)s * lda);
        for (int j = 0; j < n; j++)
            for (int i = 0; i < m; i++) {
                double sum = 0.0;
                for (int s = 0; s < k; s++)
                    sum += left[(size_t)i * k + s] * (op_b ? b(j + (size_t)s * ldb) : b(s + (size_t)j * ldb));
                float &to = c[i + (size_t)j * ldc];
                to = keep == 0.0f ? (float)(by * sum) : (float)(by * sum + keep * to);
            }
    }
    return SUCCESS;
}

API cublasGemmEx(void *handle, int op_a, int op_b, int m, int n, int k, const void *alpha, const void *a, int a_type, int lda,
    const void *b, int b_type, int ldb, const void *beta, void *c, int c_type, int ldc, int compute, int algorithm) {
    return cublasGemmStridedBatchedEx(handle, op_a, op_b, m, n, k, alpha, a, a_type, lda, 0, b, b_type, ldb, 0, beta, c, c_type, ldc,
        0, 1, compute, algorithm);
}
