/* The arena: one region that starts behind the program's data and only grows. */
#include <penstock.h>

#define PAGE_BYTES 65536u
#define ALIGNMENT 16u

extern unsigned char __heap_base;

/* First free address. 0: nothing was allocated yet. */
static uintptr_t top;

/* The sandbox finds this name in the trap's backtrace, and so knows why the guest gave up. */
__attribute__((noinline, noreturn)) static void penstock_out_of_memory(void) {
    __builtin_trap();
}

static uintptr_t start(void) {
    return ((uintptr_t)&__heap_base + ALIGNMENT - 1) & ~(uintptr_t)(ALIGNMENT - 1);
}

/* Makes everything below `end` usable. */
static void reserve(uint64_t end) {
    uint64_t have = (uint64_t)__builtin_wasm_memory_size(0) * PAGE_BYTES;
    if (end <= have) return;
    uint64_t pages = (end - have + PAGE_BYTES - 1) / PAGE_BYTES;
    if (pages > UINT16_MAX || __builtin_wasm_memory_grow(0, (size_t)pages) == SIZE_MAX) penstock_out_of_memory();
}

void *pst_alloc(size_t bytes) {
    if (!top) top = start();
    uintptr_t address = top;
    uint64_t end = (uint64_t)address + bytes + ALIGNMENT - 1;
    end -= end % ALIGNMENT;
    reserve(end);
    top = (uintptr_t)end;
    return (void *)address;
}

void *pst_alloc_array(size_t count, size_t bytes) {
    size_t product;
    if (__builtin_mul_overflow(count, bytes, &product)) penstock_out_of_memory();
    return pst_alloc(product);
}

pst_mark pst_arena_mark(void) {
    return (pst_mark){top ? top : start()};
}

void pst_arena_release(pst_mark mark) {
    top = mark.top;
}

/* Makes an allocation larger: in its place when it is the last one. Used by buffers and by the host. */
void *pst_realloc(void *old, size_t old_bytes, size_t bytes) {
    uintptr_t end = ((uintptr_t)old + old_bytes + ALIGNMENT - 1) & ~(uintptr_t)(ALIGNMENT - 1);
    if (old && end == top) {
        top = (uintptr_t)old;
        return pst_alloc(bytes);
    }
    void *address = pst_alloc(bytes);
    if (old) memcpy(address, old, old_bytes < bytes ? old_bytes : bytes);
    return address;
}

/* The compiler makes calls to these four; the first three become one instruction each. */
void *memcpy(void *restrict to, const void *restrict from, size_t bytes) {
    return __builtin_memcpy(to, from, bytes);
}

void *memmove(void *to, const void *from, size_t bytes) {
    return __builtin_memmove(to, from, bytes);
}

void *memset(void *to, int byte, size_t bytes) {
    return __builtin_memset(to, byte, bytes);
}

int memcmp(const void *left, const void *right, size_t bytes) {
    const unsigned char *a = left, *b = right;
    for (; bytes; bytes--, a++, b++)
        if (*a != *b) return *a - *b;
    return 0;
}
