/* What wasi-libc expects of a system, answered inside of the plugin: so that nothing of WASI is imported.
 *
 * What is printed becomes lines of the log where the manifest asks for `log`, and is dropped elsewhere. There is
 * nothing to read, no file, no environment, no argument, no clock and no entropy: functions that want one fail
 * with an errno, as they would on a system that lacks it.
 */
#include "../internal.h"

/* wasi-libc reaches its imports by these names: defining one here keeps it from becoming an import. */
#define WASI(name) __imported_wasi_snapshot_preview1_##name

enum { OK = 0, BAD_DESCRIPTOR = 8, NOT_SUPPORTED = 52, NOT_SEEKABLE = 70 };

/* ----------------------------------------------------------------------------------------- What is printed */

typedef struct {
    const char *bytes;
    size_t length;
} piece;

enum { STDIN = 0, STDOUT = 1, STDERR = 2 };

#ifdef PST_PRINTS_TO_LOG

/* A line that has not ended; a longer one is logged in parts. */
static struct {
    char bytes[1024];
    size_t length;
} lines[2];

/* How much of the line is whole characters: the last one may be half of one. */
static size_t whole(int index) {
    const char *bytes = lines[index].bytes;
    size_t length = lines[index].length, tail = 0;
    while (tail < 3 && tail < length && (bytes[length - tail - 1] & 0xC0) == 0x80) tail++;
    if (tail == length) return length;
    unsigned char first = (unsigned char)bytes[length - tail - 1];
    size_t needed = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 1;
    return tail + 1 < needed ? length - tail - 1 : length;
}

/* Logs the beginning of a line, and keeps the rest. What is printed may be any bytes, and the log is UTF-8. */
static void end_line(int index, size_t length) {
    pst_mark mark = pst_arena_mark();
    pst_buffer valid = {0};
    for (pst_text rest = {lines[index].bytes, length}; rest.length;) {
        char utf8[4];
        size_t bytes = pst_encode_code_point(pst_next_code_point(&rest), utf8);
        pst_append(&valid, (pst_text){utf8, bytes});
    }
    pst_log(index + 1 == STDERR ? PST_WARN : PST_INFO, "%.*s", PST_ARG(pst_buffer_text(&valid)));
    pst_arena_release(mark);
    lines[index].length -= length;
    memmove(lines[index].bytes, lines[index].bytes + length, lines[index].length);
}

static void print(int index, const char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] == '\n')
            end_line(index, lines[index].length);
        else if (lines[index].length == sizeof lines[index].bytes)
            end_line(index, whole(index));
        if (bytes[i] != '\n') lines[index].bytes[lines[index].length++] = bytes[i];
    }
}

/* There where the plugin prints; it writes out what stdio has not yet. */
__attribute__((weak)) void __stdio_exit(void);

void pst_end_lines(void) {
    if (__stdio_exit) __stdio_exit();
    for (int index = 0; index < 2; index++)
        if (lines[index].length) end_line(index, lines[index].length);
}

#else

static void print(int index, const char *bytes, size_t length) {
    (void)index, (void)bytes, (void)length;
}

void pst_end_lines(void) {}

#endif

int32_t WASI(fd_write)(int32_t descriptor, int32_t pieces, int32_t count, int32_t written) {
    if (descriptor != STDOUT && descriptor != STDERR) return BAD_DESCRIPTOR;
    const piece *all = (const piece *)pieces;
    size_t total = 0;
    for (int32_t i = 0; i < count; i++) {
        print(descriptor - 1, all[i].bytes, all[i].length);
        total += all[i].length;
    }
    *(size_t *)written = total;
    return OK;
}

/* The input has ended before it began. */
int32_t WASI(fd_read)(int32_t descriptor, int32_t pieces, int32_t count, int32_t read) {
    (void)pieces, (void)count;
    if (descriptor != STDIN) return BAD_DESCRIPTOR;
    *(size_t *)read = 0;
    return OK;
}

/* A terminal: stdio then writes at the end of each line. */
int32_t WASI(fd_fdstat_get)(int32_t descriptor, int32_t status) {
    struct {
        uint8_t kind;
        uint16_t flags;
        uint64_t rights, inherited;
    } *answer = (void *)status;
    enum { CHARACTER_DEVICE = 2, MAY_READ = 1 << 1, MAY_WRITE = 1 << 6 };
    if (descriptor < STDIN || descriptor > STDERR) return BAD_DESCRIPTOR;
    answer->kind = CHARACTER_DEVICE;
    answer->flags = 0;
    answer->rights = descriptor == STDIN ? MAY_READ : MAY_WRITE;
    answer->inherited = 0;
    return OK;
}

int32_t WASI(fd_close)(int32_t descriptor) {
    return descriptor < STDIN || descriptor > STDERR ? BAD_DESCRIPTOR : OK;
}

/* The part of the C library that zig has of its own asks for this one by another name. */
int32_t zig_fd_close(int32_t descriptor) __asm__("fd_close|wasi_snapshot_preview1");
int32_t zig_fd_close(int32_t descriptor) {
    return WASI(fd_close)(descriptor);
}

int32_t WASI(fd_seek)(int32_t descriptor, int64_t offset, int32_t whence, int32_t position) {
    (void)offset, (void)whence, (void)position;
    return descriptor < STDIN || descriptor > STDERR ? BAD_DESCRIPTOR : NOT_SEEKABLE;
}

/* ------------------------------------------------------------------------------------------- The way out */

/* The name is in the trap's backtrace: the tool has called exit. */
_Noreturn void WASI(proc_exit)(int32_t code) {
    (void)code;
    pst_end_lines();
    __builtin_trap();
}

/* ------------------------------------------------------------------------------------ Nothing of these is there */

static int32_t none(int32_t count, int32_t bytes) {
    *(size_t *)count = 0;
    *(size_t *)bytes = 0;
    return OK;
}

int32_t WASI(args_sizes_get)(int32_t count, int32_t bytes) {
    return none(count, bytes);
}

int32_t WASI(environ_sizes_get)(int32_t count, int32_t bytes) {
    return none(count, bytes);
}

int32_t WASI(sched_yield)(void) {
    return OK;
}

/* Which fail, and with what. */
#define FAILS(error, name, ...)            \
    int32_t WASI(name)(__VA_ARGS__);       \
    int32_t WASI(name)(__VA_ARGS__) {      \
        return error;                      \
    }
#pragma clang diagnostic ignored "-Wunused-parameter"

typedef int32_t i32;
typedef int64_t i64;

FAILS(OK, args_get, i32 a, i32 b)
FAILS(OK, environ_get, i32 a, i32 b)
FAILS(NOT_SUPPORTED, clock_res_get, i32 a, i32 b)
FAILS(NOT_SUPPORTED, clock_time_get, i32 a, i64 b, i32 c)
FAILS(NOT_SUPPORTED, random_get, i32 a, i32 b)
FAILS(NOT_SUPPORTED, poll_oneoff, i32 a, i32 b, i32 c, i32 d)
FAILS(BAD_DESCRIPTOR, fd_prestat_get, i32 a, i32 b)
FAILS(BAD_DESCRIPTOR, fd_prestat_dir_name, i32 a, i32 b, i32 c)
FAILS(BAD_DESCRIPTOR, fd_advise, i32 a, i64 b, i64 c, i32 d)
FAILS(BAD_DESCRIPTOR, fd_allocate, i32 a, i64 b, i64 c)
FAILS(BAD_DESCRIPTOR, fd_datasync, i32 a)
FAILS(BAD_DESCRIPTOR, fd_fdstat_set_flags, i32 a, i32 b)
FAILS(BAD_DESCRIPTOR, fd_fdstat_set_rights, i32 a, i64 b, i64 c)
FAILS(BAD_DESCRIPTOR, fd_filestat_get, i32 a, i32 b)
FAILS(BAD_DESCRIPTOR, fd_filestat_set_size, i32 a, i64 b)
FAILS(BAD_DESCRIPTOR, fd_filestat_set_times, i32 a, i64 b, i64 c, i32 d)
FAILS(BAD_DESCRIPTOR, fd_pread, i32 a, i32 b, i32 c, i64 d, i32 e)
FAILS(BAD_DESCRIPTOR, fd_pwrite, i32 a, i32 b, i32 c, i64 d, i32 e)
FAILS(BAD_DESCRIPTOR, fd_readdir, i32 a, i32 b, i32 c, i64 d, i32 e)
FAILS(BAD_DESCRIPTOR, fd_renumber, i32 a, i32 b)
FAILS(BAD_DESCRIPTOR, fd_sync, i32 a)
FAILS(BAD_DESCRIPTOR, fd_tell, i32 a, i32 b)
FAILS(BAD_DESCRIPTOR, path_create_directory, i32 a, i32 b, i32 c)
FAILS(BAD_DESCRIPTOR, path_filestat_get, i32 a, i32 b, i32 c, i32 d, i32 e)
FAILS(BAD_DESCRIPTOR, path_filestat_set_times, i32 a, i32 b, i32 c, i32 d, i64 e, i64 f, i32 g)
FAILS(BAD_DESCRIPTOR, path_link, i32 a, i32 b, i32 c, i32 d, i32 e, i32 f, i32 g)
FAILS(BAD_DESCRIPTOR, path_open, i32 a, i32 b, i32 c, i32 d, i32 e, i64 f, i64 g, i32 h, i32 i)
FAILS(BAD_DESCRIPTOR, path_readlink, i32 a, i32 b, i32 c, i32 d, i32 e, i32 f)
FAILS(BAD_DESCRIPTOR, path_remove_directory, i32 a, i32 b, i32 c)
FAILS(BAD_DESCRIPTOR, path_rename, i32 a, i32 b, i32 c, i32 d, i32 e, i32 f)
FAILS(BAD_DESCRIPTOR, path_symlink, i32 a, i32 b, i32 c, i32 d, i32 e)
FAILS(BAD_DESCRIPTOR, path_unlink_file, i32 a, i32 b, i32 c)
FAILS(BAD_DESCRIPTOR, sock_accept, i32 a, i32 b, i32 c)
FAILS(BAD_DESCRIPTOR, sock_recv, i32 a, i32 b, i32 c, i32 d, i32 e, i32 f)
FAILS(BAD_DESCRIPTOR, sock_send, i32 a, i32 b, i32 c, i32 d, i32 e)
FAILS(BAD_DESCRIPTOR, sock_shutdown, i32 a, i32 b)
