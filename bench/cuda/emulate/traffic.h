// Counts what a program asks of a GPU's memory; for the build of the stand-in that counts (build.sh).
#pragma once
#include <cstddef>
#include <cstdint>

namespace traffic {
// Memory of the device; null where there is none left.
void *take(size_t bytes);
bool give(void *memory);
// What follows belongs to this kernel, copy or product.
void begin(const char *name);
// Bytes that are touched without a kernel's code; only those of the device count.
void touch(const void *from, size_t bytes, bool writes);
// Operations of a product.
void add_flops(double flops);
} // namespace traffic
