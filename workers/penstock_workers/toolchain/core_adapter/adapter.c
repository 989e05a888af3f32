/* Between the world grain-plugin and a core module with the plain ABI, version 1: what the host calls, made of what
 * that module exports. It has a memory of its own; the module's is reached through a few functions. */
#include "../c_runtime/internal.h"

#define EXPORT(name) __attribute__((export_name(name), used)) extern
#define INTERFACE "grain:plugin/plugin"
#define CORE(name) __attribute__((import_module("core"), import_name(name))) extern
#define MEMORY(name) __attribute__((import_module("memory"), import_name(name))) extern

/* Addresses in the module's memory are numbers here. */
typedef uint32_t address;

CORE("plugin_name") address plugin_name(void);
CORE("plugin_version") address plugin_version(void);
CORE("plugin_description") address plugin_description(void);
CORE("plugin_tools_count") int32_t plugin_tools_count(void);
CORE("plugin_tool_name") address plugin_tool_name(int32_t index);
CORE("plugin_tool_description") address plugin_tool_description(int32_t index);
CORE("plugin_tool_execute") address plugin_tool_execute(int32_t index, address input);

MEMORY("pages") uint32_t memory_pages(void);
MEMORY("grow") int32_t memory_grow(uint32_t pages);
MEMORY("load") uint64_t memory_load(address at);
MEMORY("load-byte") uint32_t memory_load_byte(address at);
MEMORY("store") void memory_store(address at, uint64_t bytes);
MEMORY("store-byte") void memory_store_byte(address at, uint32_t byte);

/* Name and version that whoever wrapped it gave it, each with its NUL; empty: the module's own. */
__attribute__((import_module("given"), import_name("byte"))) extern uint32_t given_byte(uint32_t index);

#define PAGE_BYTES 65536u
#define MAX_TOOLS 1024

/* ----------------------------------------------------------------------------------- The module's memory */

static bool is_utf8(pst_text text) {
    for (pst_text rest = text; rest.length;) {
        const char *at = rest.bytes;
        if (pst_next_code_point(&rest) == 0xFFFD && rest.bytes - at != 3) return false;
    }
    return true;
}

/* Whether one of the eight bytes is 0. */
static bool has_nul(uint64_t bytes) {
    return ((bytes - 0x0101010101010101u) & ~bytes & 0x8080808080808080u) != 0;
}

/* Copies a text that ends with a NUL out of the module's memory. Returns NULL, or what is wrong. */
static const char *copy_out(address start, pst_text *text) {
    uint64_t end = (uint64_t)memory_pages() * PAGE_BYTES, at = start;
    if (at >= end) return "lies outside of its memory";
    while (at + 8 <= end && !has_nul(memory_load((address)at))) at += 8;
    while (at < end && memory_load_byte((address)at)) at++;
    if (at == end) return "has no terminator";
    size_t length = (size_t)(at - start);
    char *bytes = pst_alloc(length);
    size_t done = 0;
    for (; done + 8 <= length; done += 8) {
        uint64_t eight = memory_load(start + done);
        memcpy(bytes + done, &eight, 8);
    }
    for (; done < length; done++) bytes[done] = (char)memory_load_byte(start + done);
    *text = (pst_text){bytes, length};
    return is_utf8(*text) ? NULL : "is not UTF-8";
}

/* Puts a text and a NUL into memory that nobody has seen before. */
static address copy_in(pst_text text) {
    int32_t page = memory_grow((uint32_t)(text.length / PAGE_BYTES + 1));
    if (page < 0) pst_alloc_array(SIZE_MAX, 2); /* ends the call as out of memory */
    address start = (address)page * PAGE_BYTES;
    size_t done = 0;
    for (; done + 8 <= text.length; done += 8) {
        uint64_t eight;
        memcpy(&eight, text.bytes + done, 8);
        memory_store(start + done, eight);
    }
    for (; done < text.length; done++) memory_store_byte(start + done, (unsigned char)text.bytes[done]);
    memory_store_byte(start + done, 0);
    return start;
}

static pst_text given(uint32_t *index) {
    pst_buffer buffer = {0};
    for (uint32_t byte; (byte = given_byte((*index)++));) pst_append_byte(&buffer, (char)byte);
    return pst_buffer_text(&buffer);
}

/* -------------------------------------------------------------------------------------------- The world */

/* result<plugin-info, string> */
static struct {
    uint8_t is_error;
    pst_text first, second;
} loaded;

static const void *refuse(pst_text problem) {
    loaded.is_error = true;
    loaded.first = problem;
    return &loaded;
}

EXPORT(INTERFACE "#init") const void *init(void) {
    pst_text name, version, description;
    const char *problem = copy_out(plugin_name(), &name);
    if (problem) return refuse(pst_format("What plugin_name returns %s", problem));
    problem = copy_out(plugin_version(), &version);
    if (problem) return refuse(pst_format("What plugin_version returns %s", problem));
    problem = copy_out(plugin_description(), &description);
    if (problem) return refuse(pst_format("What plugin_description returns %s", problem));
    if (!version.length) return refuse(PST_TEXT("Plugin version '' is not compatible with host ABI v1"));
    int32_t count = plugin_tools_count();
    if (count < 0 || count > MAX_TOOLS)
        return refuse(pst_format("plugin_tools_count returns %d: 0 to %d are allowed", count, MAX_TOOLS));
    uint32_t index = 0;
    pst_text own_name = given(&index), own_version = given(&index);
    loaded.is_error = false;
    loaded.first = own_name.length ? own_name : name;
    loaded.second = own_version.length ? own_version : version;
    return &loaded;
}

/* A text that cannot be read says why: as a name the host refuses it. */
static pst_text text_at(const char *function, int32_t index, address at) {
    pst_text text;
    const char *problem = copy_out(at, &text);
    return problem ? pst_format("What %s(%d) returns %s", function, index, problem) : text;
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
    int32_t count = plugin_tools_count();
    if (count < 0 || count > MAX_TOOLS) count = 0; /* init has refused it */
    result.count = (size_t)count;
    result.items = PST_NEW(tool_def, result.count);
    for (int32_t i = 0; i < count; i++) {
        pst_text name = text_at("plugin_tool_name", i, plugin_tool_name(i));
        pst_text description = text_at("plugin_tool_description", i, plugin_tool_description(i));
        pst_text schema = PST_TEXT("{\"type\":\"object\",\"properties\":{}}");
        result.items[i] = (tool_def){name, name, description, schema};
    }
    return &result;
}

/* The text of `{"input": "…"}`, and of everything else its JSON. */
static pst_text input_of(pst_text args) {
    pst_object params;
    if (pst_read_object(args, &params) || params.count != 1) return args;
    pst_value input = pst_get(&params, "input");
    return input.kind == PST_STRING ? input.text : args;
}

static bool is_object_or_array(pst_text text) {
    pst_object object;
    pst_array array;
    return !pst_read_object(text, &object) || !pst_read_array(text, &array);
}

static pst_result run(pst_text name, int32_t index, pst_text args) {
    pst_text input = input_of(args), output;
    for (size_t i = 0; i < input.length; i++)
        if (!input.bytes[i]) return pst_fail(PST_VALIDATION_ERROR, "The input has a NUL at byte %zu", i);
    const char *problem = copy_out(plugin_tool_execute(index, copy_in(input)), &output);
    /* No JSON: the host calls that INVALID_OUTPUT and shows it. */
    if (problem) return (pst_result){pst_format("What tool '%.*s' returns %s", PST_ARG(name), problem), false};
    pst_writer out = {0};
    if (is_object_or_array(output))
        pst_write_json(&out, output);
    else
        pst_write_text(&out, output);
    return pst_return(&out);
}

/* tool-result */
EXPORT(INTERFACE "#call-tool") const void *call_tool(
    const char *name, size_t name_bytes, const char *args, size_t args_bytes) {
    static pst_result result;
    pst_text wanted = {name, name_bytes};
    int32_t count = plugin_tools_count();
    for (int32_t i = 0; i < count && i < MAX_TOOLS; i++) {
        pst_text found;
        if (copy_out(plugin_tool_name(i), &found) || !pst_equal(found, wanted)) continue;
        result = run(wanted, i, (pst_text){args, args_bytes});
        return &result;
    }
    result = pst_fail(PST_NOT_FOUND, "Unknown tool: %.*s", PST_ARG(wanted));
    return &result;
}
