// What kernels read and write: the compiler puts a call before every access of theirs (those of
// -fsanitize=thread, of whose library nothing is used), and each sector of 32 bytes counts once a launch,
// as if the caches of the chip held all that one launch comes back to. Products are counted and not
// computed. At the end the sums stand in the file that EMULATED_TRAFFIC names: kernel, launches, bytes
// read, bytes written, operations of products.
#include "traffic.h"
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <sys/mman.h>
#include <vector>

namespace {
constexpr size_t SECTOR = 32, PAGE = 4096;
// addresses, not memory
constexpr size_t SPACE = (size_t)1 << 38;

struct Sums {
    uint64_t launches = 0, read = 0, written = 0;
    double flops = 0.0;
};

template <class T>
T *reserve(size_t count) {
    void *at = mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) {
        std::perror("addresses for the memory of the device");
        std::abort();
    }
    return (T *)at;
}

struct Counter {
    std::mutex lock;
    char *memory = reserve<char>(SPACE);
    // the launch that touched a sector last
    uint32_t *readers = reserve<uint32_t>(SPACE / SECTOR), *writers = reserve<uint32_t>(SPACE / SECTOR);
    uint32_t launch = 0;
    size_t used = 0;
    std::map<char *, size_t> sizes;
    std::multimap<size_t, char *> spare;
    std::map<std::string, Sums> all;
    Sums *current = nullptr;

    ~Counter() {
        const char *path = std::getenv("EMULATED_TRAFFIC");
        FILE *out = path ? std::fopen(path, "a") : nullptr;
        if (!out) return;
        for (auto &[name, sums] : all)
            std::fprintf(out, "%s\t%llu\t%llu\t%llu\t%.0f\n", name.c_str(), (unsigned long long)sums.launches,
                (unsigned long long)sums.read, (unsigned long long)sums.written, sums.flops);
        std::fclose(out);
    }
};

Counter &counter() {
    static Counter one;
    return one;
}
// null while the library's own first words are spoken
Counter *live = &counter();

inline void touched(size_t from, size_t bytes, bool writes) {
    uint32_t *last = writes ? live->writers : live->readers;
    uint64_t fresh = 0;
    for (size_t sector = from / SECTOR; sector <= (from + bytes - 1) / SECTOR; sector++)
        if (last[sector] != live->launch) {
            last[sector] = live->launch;
            fresh += SECTOR;
        }
    (writes ? live->current->written : live->current->read) += fresh;
}

inline void access(const void *at, size_t bytes, bool writes) {
    if (!live) return;
    size_t from = (const char *)at - live->memory;
    if (from < SPACE && live->current) touched(from, bytes, writes);
}
} // namespace

void *traffic::take(size_t bytes) {
    std::lock_guard<std::mutex> held(live->lock);
    size_t whole = (bytes + PAGE - 1) / PAGE * PAGE;
    char *at;
    if (auto found = live->spare.find(whole); found != live->spare.end()) {
        at = found->second;
        live->spare.erase(found);
    } else {
        if (live->used + whole > SPACE) return nullptr;
        at = live->memory + live->used;
        live->used += whole;
    }
    live->sizes[at] = whole;
    return at;
}

bool traffic::give(void *memory) {
    std::lock_guard<std::mutex> held(live->lock);
    auto found = live->sizes.find((char *)memory);
    if (found == live->sizes.end()) return false;
    madvise(memory, found->second, MADV_DONTNEED);
    live->spare.insert({found->second, found->first});
    live->sizes.erase(found);
    return true;
}

void traffic::begin(const char *name) {
    live->current = &live->all[name];
    live->current->launches++;
    live->launch++;
}

void traffic::touch(const void *from, size_t bytes, bool writes) {
    if (bytes) access(from, bytes, writes);
}

void traffic::add_flops(double flops) { live->current->flops += flops; }

// What the compiler calls.
#define ACCESS(n)                                                                                                        \
    extern "C" void __tsan_read##n(void *at) { access(at, n, false); }                                                   \
    extern "C" void __tsan_write##n(void *at) { access(at, n, true); }                                                   \
    extern "C" void __tsan_unaligned_read##n(void *at) { access(at, n, false); }                                         \
    extern "C" void __tsan_unaligned_write##n(void *at) { access(at, n, true); }
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)
extern "C" void __tsan_read_range(void *at, size_t bytes) { traffic::touch(at, bytes, false); }
extern "C" void __tsan_write_range(void *at, size_t bytes) { traffic::touch(at, bytes, true); }
extern "C" void __tsan_func_entry(void *) {}
extern "C" void __tsan_func_exit(void) {}
extern "C" void __tsan_init(void) {}
