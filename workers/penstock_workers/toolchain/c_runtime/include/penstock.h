/* penstock.h: write Penstock tools in C, without a C library.
 *
 * A plugin is a folder with a plugin.toml and C files in src/. This is a whole one:
 *
 *     #include <penstock.h>
 *
 *     static pst_result greet(const pst_object *params) {
 *         pst_text name = pst_get_text(params, "name", PST_TEXT("world"));
 *         pst_writer out = {0};
 *         pst_begin_object(&out);
 *         pst_field_text(&out, "greeting", pst_format("Hello, %.*s!", PST_ARG(name)));
 *         pst_end_object(&out);
 *         return pst_return(&out);
 *     }
 *
 *     PST_PLUGIN({
 *         .name = "greet",
 *         .label = "Greet",
 *         .description = "Says hello to somebody.",
 *         .parameters = PST_JSON({
 *             "type": "object",
 *             "properties": {"name": {"type": "string", "description": "Who is greeted."}},
 *             "additionalProperties": false
 *         }),
 *         .run = greet,
 *     })
 *
 * How a call goes: the host makes a fresh instance, checks the params against `parameters`, and calls `run`
 * once. Nothing survives the call, so nothing needs to be freed, and a global is as good as a local.
 *
 * With `batch_entry_point = true` in plugin.toml calls of one batch may share an instance. Before each of them
 * the globals are set back and the arena is emptied, so that the same holds; only memory from the arena is not
 * what the first call found there, which it never promised.
 *
 * With `[build]` and `libc = "wasi"` in plugin.toml wasi-libc is there as well: see the author's guide. Without it:
 *
 * What there is not: libc, files, clocks, threads. <stdint.h>, <stddef.h>, <stdbool.h>, <stdarg.h> and
 * <limits.h> work, and so do memcpy, memmove, memset and memcmp.
 *
 * The stack is 64 KiB: big arrays belong into the arena (pst_alloc).
 */
#ifndef PENSTOCK_H
#define PENSTOCK_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---------------------------------------------------------------------------------------------- Memory
 *
 * One arena for the whole call: it only grows. When the host allows no more memory, the call traps.
 */

/* `bytes` bytes, aligned for every type, not zeroed. Zero bytes give a pointer, too. */
void *pst_alloc(size_t bytes);

/* `count` things of `bytes` each; an overflowing product traps. PST_NEW casts. */
void *pst_alloc_array(size_t count, size_t bytes);
#define PST_NEW(type, count) ((type *)pst_alloc_array((count), sizeof(type)))

/* For loops that need scratch memory: everything allocated after the mark is given back at once. */
typedef struct {
    uintptr_t top;
} pst_mark;
pst_mark pst_arena_mark(void);
void pst_arena_release(pst_mark mark);

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int byte, size_t bytes);
int memcmp(const void *left, const void *right, size_t bytes);

/* ------------------------------------------------------------------------------------------------ Text
 *
 * A text is UTF-8, not terminated by a NUL, and may contain one. Texts are never changed, only pointed at.
 */

typedef struct {
    const char *bytes;
    size_t length; /* in bytes */
} pst_text;

/* A text from a string literal. */
#define PST_TEXT(literal) ((pst_text){(literal), sizeof(literal) - 1})
/* The two arguments of a "%.*s". */
#define PST_ARG(text) (int)(text).length, (text).bytes

pst_text pst_text_of(const char *c_string);
bool pst_equal(pst_text left, pst_text right);
bool pst_starts_with(pst_text text, pst_text prefix);

/* The next code point of a text that is not empty; `rest` is moved behind it. A byte that is not UTF-8
 * gives U+FFFD (texts that come from the host are always UTF-8). */
uint32_t pst_next_code_point(pst_text *rest);
/* How many code points the text has. */
size_t pst_code_points(pst_text text);
/* Writes the UTF-8 of a code point and returns its length, 1 to 4. */
size_t pst_encode_code_point(uint32_t code_point, char utf8[4]);

/* A text that grows. Start with `pst_buffer buffer = {0};`. */
typedef struct {
    char *bytes;
    size_t length;
    size_t capacity;
} pst_buffer;

void pst_append(pst_buffer *buffer, pst_text text);
void pst_append_byte(pst_buffer *buffer, char byte);
void pst_append_integer(pst_buffer *buffer, int64_t number);
void pst_append_unsigned(pst_buffer *buffer, uint64_t number);
/* The shortest decimal that reads back as the same double, such as 0.1 or 1e+21; never an integer's
 * spelling (2.0, not 2). Not a number: nan, inf, -inf. */
void pst_append_double(pst_buffer *buffer, double number);
pst_text pst_buffer_text(const pst_buffer *buffer);

/* Like printf, with %s %.*s %c %d %i %u %x (and l, ll, z before the last four), %g (the shortest decimal)
 * and %%. No widths, no flags. */
__attribute__((format(printf, 2, 3))) void pst_appendf(pst_buffer *buffer, const char *format, ...);
void pst_appendv(pst_buffer *buffer, const char *format, va_list arguments);
__attribute__((format(printf, 1, 2))) pst_text pst_format(const char *format, ...);

/* -------------------------------------------------------------------------------------------- Read JSON
 *
 * The params of a call are a pst_object. The host has checked them against the tool's schema, so a getter
 * gives its fallback only where a param is absent (or null).
 */

typedef enum {
    PST_ABSENT, /* no member of that name */
    PST_NULL,
    PST_BOOLEAN,
    PST_NUMBER,
    PST_STRING,
    PST_ARRAY,
    PST_OBJECT,
} pst_kind;

typedef struct {
    pst_kind kind;
    bool boolean;  /* of a boolean */
    pst_text text; /* of a string: decoded; of a number: as it is spelled; of an array or object: its JSON */
} pst_value;

typedef struct {
    pst_text name;
    pst_value value;
} pst_member;

typedef struct {
    const pst_member *members; /* in the order of the text */
    size_t count;
} pst_object;

typedef struct {
    const pst_value *values;
    size_t count;
} pst_array;

/* The member's value; of several of one name the last. */
pst_value pst_get(const pst_object *object, const char *name);
pst_text pst_get_text(const pst_object *object, const char *name, pst_text fallback);
double pst_get_number(const pst_object *object, const char *name, double fallback);
int64_t pst_get_integer(const pst_object *object, const char *name, int64_t fallback);
bool pst_get_boolean(const pst_object *object, const char *name, bool fallback);

/* A number's value: the nearest double. As an integer: cut towards zero, kept within int64_t. */
double pst_number(pst_value value);
int64_t pst_integer(pst_value value);

/* Reads JSON text. Arrays and objects inside are kept as text (`value.text`), to be read in their turn.
 * Escaped surrogate pairs become one code point, a lone surrogate U+FFFD. Returns NULL, or what is wrong. */
const char *pst_read_object(pst_text json, pst_object *object);
const char *pst_read_array(pst_text json, pst_array *array);

/* ------------------------------------------------------------------------------------------- Write JSON
 *
 * Start with `pst_writer out = {0};`. Commas are written for you; that what is begun is ended, and that
 * members have keys, is yours.
 */

typedef struct {
    pst_buffer buffer;
    bool comma; /* whether the next value needs one before it */
} pst_writer;

void pst_begin_object(pst_writer *out);
void pst_end_object(pst_writer *out);
void pst_begin_array(pst_writer *out);
void pst_end_array(pst_writer *out);
void pst_key(pst_writer *out, const char *key);
void pst_key_text(pst_writer *out, pst_text key);

void pst_write_text(pst_writer *out, pst_text text);
void pst_write_integer(pst_writer *out, int64_t number);
void pst_write_double(pst_writer *out, double number); /* null when it is not a finite number */
void pst_write_boolean(pst_writer *out, bool boolean);
void pst_write_null(pst_writer *out);
void pst_write_json(pst_writer *out, pst_text json); /* as it is */

/* A key and its value. */
void pst_field_text(pst_writer *out, const char *key, pst_text text);
void pst_field_integer(pst_writer *out, const char *key, int64_t number);
void pst_field_double(pst_writer *out, const char *key, double number);
void pst_field_boolean(pst_writer *out, const char *key, bool boolean);

/* ----------------------------------------------------------------------------------------------- Tools */

/* What a tool gives back. Make one with pst_return or pst_fail. */
typedef struct {
    pst_text content; /* JSON */
    bool is_error;
} pst_result;

/* Success: what was written. */
pst_result pst_return(const pst_writer *out);

/* Failure. The host honours these codes; every other one becomes EXECUTION_ERROR. */
#define PST_EXECUTION_ERROR "EXECUTION_ERROR"
#define PST_VALIDATION_ERROR "VALIDATION_ERROR"
#define PST_NOT_FOUND "NOT_FOUND"
#define PST_DEPENDENCY_ERROR "DEPENDENCY_ERROR"
#define PST_RATE_LIMIT "RATE_LIMIT"
__attribute__((format(printf, 2, 3))) pst_result pst_fail(const char *code, const char *format, ...);
/* RATE_LIMIT, with the time after which the same call may be tried again. */
__attribute__((format(printf, 2, 3))) pst_result pst_fail_for(double retry_after_s, const char *format, ...);

typedef struct {
    const char *name;        /* as callers spell it: begins with a letter; letters, digits, - and _ */
    const char *label;       /* as people read it; without one it is the name */
    const char *description; /* what it does, for people and for agents */
    const char *parameters;  /* JSON Schema of the params, type object (see PST_JSON); without one: no params */
    pst_result (*run)(const pst_object *params);
} pst_tool;

typedef struct {
    const char *name;
    const char *version;
    const pst_tool *tools;
    size_t tool_count;
} pst_plugin;

/* JSON written as it is, without quoting quotes: PST_JSON({"type": "object"}). */
#define PST_JSON(...) #__VA_ARGS__

/* The plugin's tools; once, in one of its files. Name and version come from plugin.toml: the build passes
 * them on. */
#define PST_PLUGIN(...)                                                                                    \
    static const pst_tool pst_these_tools[] = {__VA_ARGS__};                                               \
    const pst_plugin pst_this_plugin = {                                                                   \
        PST_PLUGIN_NAME, PST_PLUGIN_VERSION, pst_these_tools, sizeof pst_these_tools / sizeof(pst_tool)};
extern const pst_plugin pst_this_plugin;

/* ------------------------------------------------------------------------------------------------ Host
 *
 * Each needs its capability in plugin.toml and the operator's grant. A plugin that uses none of them
 * imports nothing at all.
 */

typedef enum { PST_DEBUG, PST_INFO, PST_WARN, PST_ERROR } pst_level;

/* Capability `log`. The lines are kept with the result, up to a limit. */
__attribute__((format(printf, 2, 3))) void pst_log(pst_level level, const char *format, ...);

/* Capability `env`. Whether the variable is set and allowed. */
bool pst_env(const char *name, pst_text *value);

/* Capability `http`. Any status is a response; false, with a text in `problem`, means that there is none. */
typedef struct {
    pst_text name;
    pst_text value;
} pst_header;
typedef struct {
    uint16_t status;
    const pst_header *headers;
    size_t header_count;
    pst_text body;
} pst_response;
bool pst_http_get(
    pst_text url, const pst_header *headers, size_t header_count, pst_response *response, pst_text *problem);
bool pst_http_post(
    pst_text url,
    const pst_header *headers,
    size_t header_count,
    pst_text body,
    pst_response *response,
    pst_text *problem);

#endif
