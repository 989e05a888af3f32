/* The arena where there is a C library: its chunks come from malloc, which has its own idea of where memory grows. */
#include "../internal.h"

#include <stdlib.h>

#define PAGE_BYTES 65536u
#define ALIGNMENT 16u
/* malloc rounds up to powers of two and needs a few bytes for itself. */
#define CHUNK_BYTES (PAGE_BYTES - 64u)

typedef struct chunk {
    struct chunk *before; /* the chunk that was in use when this one was made */
    uintptr_t end;
} chunk;

extern unsigned char __heap_base;

/* NULL: the memory that was there from the start, which malloc does not touch. */
static chunk *current;
/* First free address in it. 0: nothing was allocated yet. */
static uintptr_t top;
/* Where the memory from the start ends. */
static uintptr_t first_end;

/* The sandbox finds this name in the trap's backtrace, and so knows why the guest gave up. */
__attribute__((noinline, noreturn)) static void penstock_out_of_memory(void) {
    __builtin_trap();
}

static uintptr_t aligned(uintptr_t address) {
    return (address + ALIGNMENT - 1) & ~(uintptr_t)(ALIGNMENT - 1);
}

static void start(void) {
    top = aligned((uintptr_t)&__heap_base);
    first_end = aligned((uintptr_t)&__heap_base + PAGE_BYTES - 1) & ~(uintptr_t)(PAGE_BYTES - 1);
}

static uintptr_t end_of(const chunk *in_use) {
    return in_use ? in_use->end : first_end;
}

static void add_chunk(size_t bytes) {
    size_t size;
    if (__builtin_add_overflow(bytes, sizeof(chunk) + ALIGNMENT, &size)) penstock_out_of_memory();
    if (size < CHUNK_BYTES) size = CHUNK_BYTES;
    chunk *added = malloc(size);
    if (!added) penstock_out_of_memory();
    *added = (chunk){current, (uintptr_t)added + size};
    current = added;
    top = aligned((uintptr_t)(added + 1));
}

void *pst_alloc(size_t bytes) {
    if (!top) start();
    uintptr_t end = end_of(current);
    if (top > end || bytes > end - top) add_chunk(bytes);
    uintptr_t address = top;
    top = aligned(address + bytes);
    return (void *)address;
}

void *pst_alloc_array(size_t count, size_t bytes) {
    size_t product;
    if (__builtin_mul_overflow(count, bytes, &product)) penstock_out_of_memory();
    return pst_alloc(product);
}

pst_mark pst_arena_mark(void) {
    if (!top) start();
    return (pst_mark){top};
}

static bool holds(const chunk *in_use, uintptr_t address) {
    return !in_use || (address > (uintptr_t)in_use && address <= aligned(in_use->end));
}

void pst_arena_release(pst_mark mark) {
    while (!holds(current, mark.top)) {
        chunk *before = current->before;
        free(current);
        current = before;
    }
    top = mark.top;
}

/* Makes an allocation larger: in its place when it is the last one. Used by buffers and by the host. */
void *pst_realloc(void *old, size_t old_bytes, size_t bytes) {
    uintptr_t address = (uintptr_t)old;
    if (old && aligned(address + old_bytes) == top && holds(current, address) && bytes <= end_of(current) - address) {
        top = aligned(address + bytes);
        return old;
    }
    void *moved = pst_alloc(bytes);
    if (old) memcpy(moved, old, old_bytes < bytes ? old_bytes : bytes);
    return moved;
}
