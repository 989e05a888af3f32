/* The plugin's side of the world grain-plugin in the canonical ABI: what the host calls. */
#include "internal.h"

/* Small is better than fast here. */
#pragma clang attribute push(__attribute__((minsize)), apply_to = function)

#define EXPORT(name) __attribute__((export_name(name), used)) extern
#define INTERFACE "grain:plugin/plugin"

/* The host makes room for what it passes in. */
EXPORT("cabi_realloc") void *cabi_realloc(void *old, size_t old_bytes, size_t alignment, size_t bytes) {
    (void)alignment; /* the arena's is the largest that there is */
    return pst_realloc(old, old_bytes, bytes);
}

#ifndef PST_OWN_ENTRY_POINTS

/* result<plugin-info, string>, always ok. */
EXPORT(INTERFACE "#init") const void *init(void) {
    static struct {
        uint8_t is_error;
        pst_text name, version;
    } result;
    result.name = pst_text_of(pst_this_plugin.name);
    result.version = pst_text_of(pst_this_plugin.version);
    return &result;
}

static pst_text given_or(const char *text, const char *otherwise) {
    return pst_text_of(text ? text : otherwise);
}

/* list<tool-def> */
EXPORT(INTERFACE "#list-tools") const void *list_tools(void) {
    typedef struct {
        pst_text name, label, description, parameters;
    } tool_def;
    static struct {
        tool_def *items;
        size_t count;
    } result;
    result.count = pst_this_plugin.tool_count;
    result.items = PST_NEW(tool_def, result.count);
    for (size_t i = 0; i < result.count; i++) {
        const pst_tool *tool = &pst_this_plugin.tools[i];
        result.items[i] = (tool_def){
            pst_text_of(tool->name),
            given_or(tool->label, tool->name),
            given_or(tool->description, ""),
            given_or(tool->parameters, PST_JSON({"type": "object", "additionalProperties": false})),
        };
    }
    return &result;
}

static pst_result call(pst_text name, pst_text args) {
    for (size_t i = 0; i < pst_this_plugin.tool_count; i++) {
        const pst_tool *tool = &pst_this_plugin.tools[i];
        if (!pst_equal(name, pst_text_of(tool->name))) continue;
        pst_object params;
        const char *problem = pst_read_object(args, &params);
        if (problem) return pst_fail(PST_VALIDATION_ERROR, "The params cannot be read: %s.", problem);
#ifdef PST_LIBC
        pst_result answer = tool->run(&params);
        pst_end_lines();
        return answer;
#else
        return tool->run(&params);
#endif
    }
    return pst_fail(PST_NOT_FOUND, "Unknown tool: %.*s", PST_ARG(name));
}

/* tool-result */
EXPORT(INTERFACE "#call-tool") const void *call_tool(
    const char *name, size_t name_bytes, const char *args, size_t args_bytes) {
    static pst_result result;
    result = call((pst_text){name, name_bytes}, (pst_text){args, args_bytes});
    return &result;
}

/* The interface penstock:batch/batch: calls that share this instance. Only where the manifest asks for it. */
#ifdef PST_BATCH_ENTRY_POINT

/* The globals of the whole program lie between these. */
extern unsigned char __global_base[], __data_end[];

/* list<tool-result>. Each call finds the globals as the first one did, and the arena as if it were the first:
 * what the ones before it returned is all that is left of them. */
__attribute__((export_name("penstock:batch/batch#call-tool-batch"), used)) extern const void *call_tool_batch(
    const char *name, size_t name_bytes, const pst_text *args, size_t count) {
    static struct {
        pst_result *items;
        size_t count;
    } result;
    size_t globals_bytes = (size_t)(__data_end - __global_base);
    void *globals = pst_alloc(globals_bytes);
    pst_result *items = PST_NEW(pst_result, count);
    memcpy(globals, __global_base, globals_bytes);
    for (size_t i = 0; i < count; i++) {
        pst_mark begin = pst_arena_mark();
        pst_result answer = call((pst_text){name, name_bytes}, args[i]);
        pst_arena_release(begin);
        char *kept = pst_alloc(answer.content.length);
        memmove(kept, answer.content.bytes, answer.content.length);
        items[i] = (pst_result){{kept, answer.content.length}, answer.is_error};
        pst_mark end = pst_arena_mark();
        memcpy(__global_base, globals, globals_bytes);
        pst_arena_release(end);
    }
    result.items = items;
    result.count = count;
    return &result;
}

#endif

#endif

pst_result pst_return(const pst_writer *out) {
    return (pst_result){pst_buffer_text(&out->buffer), false};
}

static pst_result failure(const char *code, double retry_after_s, const char *format, va_list arguments) {
    pst_buffer message = {0};
    pst_appendv(&message, format, arguments);
    pst_writer out = {0};
    pst_begin_object(&out);
    pst_field_text(&out, "code", pst_text_of(code));
    pst_field_text(&out, "message", pst_buffer_text(&message));
    if (retry_after_s >= 0) pst_field_double(&out, "retry_after_s", retry_after_s);
    pst_end_object(&out);
    return (pst_result){pst_buffer_text(&out.buffer), true};
}

pst_result pst_fail(const char *code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    pst_result result = failure(code, -1, format, arguments);
    va_end(arguments);
    return result;
}

pst_result pst_fail_for(double retry_after_s, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    pst_result result = failure(PST_RATE_LIMIT, retry_after_s, format, arguments);
    va_end(arguments);
    return result;
}

#pragma clang attribute pop
